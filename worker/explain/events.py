"""Events of the outbox as a person and a program see them. Pure."""

import json
from datetime import datetime
from typing import Any

from worker.explain import Row
from worker.explain.text import NEVER, hint


def event_document(row: Row) -> dict[str, Any]:
    """Return an event as JSON shows it."""
    kept = {name: value for name, value in row.items() if name not in {"body", "lease_id"}}
    return {**kept, "event": json.loads(row["body"])}


def next_try(row: Row, now: datetime) -> str:
    """Return when an event is sent next, relative to now; `-` if it is not."""
    at = row["next_attempt_at"]
    return NEVER if at is None else hint(max(at, now), now)

"""Events of the outbox as a person and a program see them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from worker.explain.text import NEVER, hint


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return an event as JSON shows it."""
    kept = {name: value for name, value in row.items() if name not in {"body", "lease_id"}}
    return {**kept, "event": json.loads(row["body"])}


def events_table(rows: Sequence[dict[str, Any]]) -> Any:
    """Return the table of events that a person sees."""
    from worker.cli.ui.tables import Heading, table  # noqa: PLC0415 - rich is slow to load

    now = datetime.now(UTC)
    headings = (
        Heading("event"),
        Heading("partnerTxnUid"),
        Heading("by"),
        Heading("state"),
        Heading("tries", number=True),
        Heading("next"),
        Heading("last fault", whole=False),
    )
    return table(headings, (_cells(row, now) for row in rows))


def _cells(row: dict[str, Any], now: datetime) -> tuple[object, ...]:
    at = row["next_attempt_at"]
    return (
        row["event_id"],
        row["partner_txn_uid"],
        row["destination"],
        row["state"],
        row["attempts"],
        NEVER if at is None else hint(max(at, now), now),
        row["fault"],
    )

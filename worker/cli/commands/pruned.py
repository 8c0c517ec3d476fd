"""What `show` and `why` say of a job that was pruned: all that is left of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from worker.cli.ui.output import print_json, wants_json
from worker.explain.pruned import NEXT, was
from worker.explain.text import shown


def show_left(left: Mapping[str, Any], *, form: str | None) -> None:
    """Print a tombstone as `show` prints a job."""
    if wants_json(form):
        print_json({**left, "next": [NEXT], "cancel_attempts": [], "token_statuses": []})
        return
    _put(left)


def explain_left(left: Mapping[str, Any], *, form: str | None) -> None:
    """Print a tombstone as `why` explains a job."""
    if wants_json(form):
        names = ("partner_txn_uid", "state", "outcome")
        story = {"stands": was(left, datetime.now(UTC)), "happened": [], "next": NEXT}
        print_json({name: left[name] for name in names} | story | {"next_at": None, "acts": []})
        return
    _put(left)


def _put(left: Mapping[str, Any]) -> None:
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import heading, listed, put  # noqa: PLC0415 - rich is slow to load

    put(
        Text(shown(left["partner_txn_uid"]), style="bold"),
        listed([was(left, datetime.now(UTC)), f"Partner {shown(left['partner_id'])}."]),
        heading("What happens next"),
        listed([NEXT]),
    )

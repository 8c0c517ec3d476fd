"""Events of the outbox as a table. Only loaded where a table is wanted: rich is slow to load."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.table import Table

from worker.cli.ui.tables import Heading, table
from worker.explain import Row
from worker.explain.events import next_try


def events_table(rows: Iterable[Row]) -> Table:
    """Return the table of events that a person sees."""
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


def _cells(row: Row, now: datetime) -> tuple[object, ...]:
    return (
        row["event_id"],
        row["partner_txn_uid"],
        row["destination"],
        row["state"],
        row["attempts"],
        next_try(row, now),
        row["fault"],
    )

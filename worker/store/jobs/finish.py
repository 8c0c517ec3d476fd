"""
The end of a job: the event for the order system is stored with it, in one transaction.

Every statement that may end a job is executed here. The exception is the one statement that
settles a claim, if there are no destinations.
"""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, Executable, bindparam

from worker.domain import events
from worker.domain.destinations import Destination
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.elements import Now
from worker.store.schema.tables import outbox


class Finisher:
    """Executes statements that may end jobs. Without destinations it stores no events."""

    def __init__(self, database: Database, destinations: Collection[Destination]) -> None:
        self._database = database
        self._destinations = sorted(destinations)
        self._store_event = (
            database.insert(outbox)
            .values(
                event_id=bindparam("event_id"),
                destination=bindparam("destination"),
                partner_txn_uid=bindparam("uid"),
                number=bindparam("number"),
                body=bindparam("body"),
                created_at=Now(),
                next_attempt_at=Now(),
            )
            # The outcome matters more than its event: nothing here may undo it.
            .on_conflict_do_nothing()
        )

    @property
    def has_destinations(self) -> bool:
        """Whether events are stored; if not, a move may be executed elsewhere."""
        return bool(self._destinations)

    def run(
        self, connection: Connection, statement: Executable, params: Mapping[str, object]
    ) -> list[AnyRow]:
        """Execute a move that returns `EVENT_COLUMNS`; store an event for each job it ended."""
        rows = rows_of(connection, statement, params)
        ended = [row._asdict() for row in rows if row.outcome is not None]
        if ended and self._destinations:
            times = self._database.times
            outbox_rows = [
                {**times, **_event(job), "destination": each}
                for job in ended
                for each in self._destinations
            ]
            connection.execute(self._store_event, outbox_rows)
        return rows


def _event(job: Mapping[str, Any]) -> dict[str, object]:
    uid, number = job["partner_txn_uid"], job["ends"]
    return {
        "event_id": events.event_id(uid, number),
        "uid": uid,
        "number": number,
        "body": events.body(job),
    }

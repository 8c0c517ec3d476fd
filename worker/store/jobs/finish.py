"""
The end of a job: the event for the order system is stored with it, in one transaction.

Every statement that may end a job is executed here. The exception is the one statement that
settles a claim: it is executed by `Settlements`, and what it returns is told here.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Executable,
    String,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.sql.dml import ReturningInsert

from worker.domain import events
from worker.domain.destinations import Destination
from worker.forksafe import once
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.elements import Now
from worker.store.engine.prepared import Prepared
from worker.store.jobs.next_claim import NextClaim, next_statement, params
from worker.store.schema.tables import outbox

_GIVEN = ("event_id", "destination", "partner_txn_uid", "number", "body")
"""What is stored of an event, beside its times."""
_NEW: dict[str, ColumnElement[Any]] = {"created_at": Now(), "next_attempt_at": Now()}


class Finisher:
    """Executes statements that may end jobs. Without destinations it stores no events."""

    def __init__(self, database: Database, destinations: Collection[Destination]) -> None:
        self._database = database
        self._destinations = sorted(destinations)
        event: dict[str, Any] = {name: bindparam(name) for name in _GIVEN}
        # The outcome matters more than its event: nothing here may undo it.
        self._store = database.insert(outbox).values({**event, **_NEW}).on_conflict_do_nothing()

    @property
    def has_destinations(self) -> bool:
        """Whether events are stored; if not, a move may be executed elsewhere."""
        return bool(self._destinations)

    def run(
        self, connection: Connection, statement: Executable, params: Mapping[str, object]
    ) -> list[AnyRow]:
        """Execute a move that returns `EVENT_COLUMNS`; store an event for each job it ended."""
        rows = rows_of(connection, statement, params)
        told = self._events(row for row in rows if row.outcome is not None)
        if told:
            connection.execute(self._store, [{**self._database.times, **each} for each in told])
        return rows

    def tell_and_claim(
        self, connection: Connection, ended: AnyRow, following: NextClaim | None
    ) -> AnyRow | None:
        """
        Store the events of a job that has ended, and claim the next one: one statement.

        For PostgreSQL. Return the row of the next claim, or None if there is none.
        """
        told = {"events": json.dumps(self._events([ended]))}
        if following is None:
            self._tell.on(connection, **told)
            return None
        return next(iter(self._tell_and_claim.on(connection, **told, **params(following))), None)

    @once
    def _tell(self) -> Prepared:
        return Prepared(self._database, _told(self._database))

    @once
    def _tell_and_claim(self) -> Prepared:
        told = _told(self._database).cte("told")
        return Prepared(self._database, next_statement().add_cte(told))

    def _events(self, ended: Iterable[AnyRow]) -> list[dict[str, Any]]:
        """Return what is stored for each job that has ended: an event for each destination."""
        return [
            {**_event(job), "destination": str(each)}
            for job in (row._asdict() for row in ended if self._destinations)
            for each in self._destinations
        ]


def _told(database: Database) -> ReturningInsert[Any]:
    """Return the insert of `events`, a JSON document, for PostgreSQL."""
    columns = (column(name, outbox.c[name].type) for name in _GIVEN)
    listed = func.json_to_recordset(cast(bindparam("events", type_=String()), JSON()))
    each = listed.table_valued(*columns).render_derived(with_types=True)
    row = {**{name: each.c[name] for name in _GIVEN}, **_NEW}
    insert = database.insert(outbox).from_select(list(row), select(*row.values()))
    return insert.on_conflict_do_nothing().returning(outbox.c.event_id)


def _event(job: Mapping[str, Any]) -> dict[str, object]:
    uid, number = job["partner_txn_uid"], job["ends"]
    return {
        "event_id": events.event_id(uid, number),
        "partner_txn_uid": uid,
        "number": number,
        "body": events.body(job),
    }

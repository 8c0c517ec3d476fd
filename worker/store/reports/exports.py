"""Jobs that have ended, in a stable order, so that a reader can go on from a cursor."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import bindparam, or_, select

from worker.domain.events import event_data, event_id
from worker.domain.kplus import EPOCH
from worker.domain.states import FINAL
from worker.domain.times import iso
from worker.store.engine.column_types import Utc
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.elements import Now
from worker.store.jobs.transitions import EVENT_COLUMNS
from worker.store.reports.filters import EVERY_JOB, JobFilter
from worker.store.schema.tables import JOBS

PAGE = 1000
HORIZON = timedelta(minutes=5)
"""
A job that ended later than this ago is not listed yet.

A job has the time at which its end was written, and can be read when that is committed. Our
transactions are shorter, by `engines.Timeouts`.
"""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in the order: after the job `uid`, which ended at `at`."""

    at: datetime = EPOCH
    uid: str = ""

    def __str__(self) -> str:
        """Return the cursor as text; a plain time can be read as one too."""
        return f"{iso(self.at)}/{self.uid}"

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a cursor from text. Raise ValueError if it is none."""
        at, _, uid = text.partition("/")
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("a time without an offset")
        return cls(moment, uid)


class Exports:
    """The statements that list ended jobs, by the index over state and time of change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        at = bindparam("at", type_=Utc())
        # A final job no longer changes, so `updated_at` is when it ended.
        self._page = (
            select(*EVENT_COLUMNS, JOBS.updated_at)
            .where(
                JOBS.state == bindparam("state"),
                JOBS.updated_at >= at,
                or_(JOBS.updated_at > at, JOBS.partner_txn_uid > bindparam("uid")),
                JOBS.updated_at <= bindparam("until", type_=Utc()),
            )
            .order_by(JOBS.updated_at, JOBS.partner_txn_uid)
            .limit(bindparam("most"))
        )

    def since(
        self, cursor: Cursor, wanted: JobFilter = EVERY_JOB, *, page: int = PAGE
    ) -> Iterator[list[dict[str, Any]]]:
        """
        Yield what is sent to the order system about each job, in the order of their ends.

        In pages. A job that ended more than `HORIZON` ago is never skipped, unless the
        database's clock is set back by more. A job that is requeued and ends again comes again.
        """
        statement = self._page.where(*wanted.conditions())
        states = sorted(FINAL & wanted.states)
        while True:
            with self._database.reading() as connection:
                # Read once for all three states: time passes between the statements.
                ((now,),) = rows_of(connection, _NOW, self._database.times)
                given = {"at": cursor.at, "uid": cursor.uid, "until": now - HORIZON, "most": page}
                found = [
                    row
                    for state in states
                    for row in rows_of(connection, statement, {**given, "state": state})
                ]
            rows = sorted(found, key=_place)[:page]
            if rows:
                yield [_record(row) for row in rows]
                cursor = Cursor(*_place(rows[-1]))
            if len(rows) < page:
                return


_NOW = select(Now())


def _place(row: AnyRow) -> tuple[datetime, str]:
    return row.updated_at, row.partner_txn_uid


def _record(row: AnyRow) -> dict[str, Any]:
    job = row._asdict()
    named = {"cursor": str(Cursor(*_place(row))), "id": event_id(row.partner_txn_uid, row.ends)}
    return named | event_data(job)

"""Jobs that have ended, in a stable order, so that a reader can go on from a cursor."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import String, bindparam, or_, select, union_all

from worker.domain.events import event_data, event_id
from worker.domain.kplus import EPOCH
from worker.domain.states import FINAL, State
from worker.domain.times import iso
from worker.store.engine.column_types import Utc
from worker.store.engine.database import AnyRow, AnySelect, Database, rows_of
from worker.store.engine.elements import Bytewise, Now
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

    def since(
        self, cursor: Cursor, wanted: JobFilter = EVERY_JOB, *, page: int = PAGE
    ) -> Iterator[list[dict[str, Any]]]:
        """
        Yield what is sent to the order system about each job, in the order of their ends.

        In pages. A job that ended more than `HORIZON` ago is never skipped, unless the
        database's clock is set back by more. A job that is requeued and ends again comes again.
        """
        statement = page_statement(wanted)
        while True:
            with self._database.reading() as connection:
                ((now,),) = rows_of(connection, _NOW, self._database.times)
                given = {"at": cursor.at, "uid": cursor.uid, "until": now - HORIZON, "most": page}
                rows = rows_of(connection, statement, given) if statement is not None else []
            if rows:
                yield [_record(row) for row in rows]
                cursor = Cursor(rows[-1].updated_at, rows[-1].partner_txn_uid)
            if len(rows) < page:
                return


def page_statement(wanted: JobFilter = EVERY_JOB) -> AnySelect | None:
    """
    Return the statement of one page, or None if no job of the filter can have ended.

    The first jobs of each state, for which there is an index, and of these the first. The order is
    made here only, by bytes: a cursor means the same in every database.
    """
    parts = [_part(state, wanted).subquery() for state in sorted(FINAL & wanted.states)]
    if not parts:
        return None
    ended = union_all(*map(select, parts)).subquery("ended")
    order = ended.c.updated_at, Bytewise(ended.c.partner_txn_uid)
    return select(ended).order_by(*order).limit(bindparam("most"))


def _part(state: State, wanted: JobFilter) -> AnySelect:
    at, uid = bindparam("at", type_=Utc()), Bytewise(JOBS.partner_txn_uid)
    # A final job no longer changes, so `updated_at` is when it ended.
    return (
        select(*EVENT_COLUMNS, JOBS.updated_at)
        .where(
            JOBS.state == state,
            JOBS.updated_at >= at,
            or_(JOBS.updated_at > at, uid > bindparam("uid", type_=String())),
            JOBS.updated_at <= bindparam("until", type_=Utc()),
            *wanted.conditions(),
        )
        .order_by(JOBS.updated_at, uid)
        .limit(bindparam("most"))
    )


_NOW = select(Now())


def _record(row: AnyRow) -> dict[str, Any]:
    job = row._asdict()
    cursor = Cursor(row.updated_at, row.partner_txn_uid)
    named = {"cursor": str(cursor), "id": event_id(row.partner_txn_uid, row.ends)}
    return named | event_data(job)

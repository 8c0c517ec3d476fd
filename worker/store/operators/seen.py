"""
What an operator has seen: the end of a job that a person has to see, or what contradicts an end.

It counts as seen from then on. Another end of the same job, or newer drift, does not.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)

from worker.domain.states import FINAL
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.elements import Now
from worker.store.operators.requeue import RequeueResult, Verdict
from worker.store.reports.drift import has_unseen_drift
from worker.store.reports.filters import JobFilter
from worker.store.reports.seen import is_unseen
from worker.store.schema.tables import JOBS, cancel_jobs

BATCH = 500
_KEPT = (JOBS.partner_txn_uid, JOBS.state, JOBS.outcome, JOBS.seen_at)
"""What the record of the action holds of a job."""


class Seeing:
    """The statements that mark what was seen, in the transaction that records the action."""

    def __init__(self, database: Database) -> None:
        self._database = database
        uids: BindParameter[str] = bindparam("uids", expanding=True)
        these = JOBS.partner_txn_uid.in_(uids)
        self._job = select(*_KEPT, _to_see().label("to_see")).where(these)
        # Also where the clock was set back since: what was seen is seen.
        later = case((Now() > JOBS.finished_at, Now()), else_=JOBS.finished_at)
        self._mark = (
            update(cancel_jobs).where(these, _to_see()).values(seen_at=later).returning(*_KEPT)
        )

    def mark(self, connection: Connection, uids: Sequence[str]) -> list[AnyRow]:
        """Mark these jobs as seen; return the rows of those that nobody had seen."""
        params = {**self._database.times, "uids": sorted(uids)}
        return rows_of(connection, self._mark, params)

    def judge(self, connection: Connection, uids: Sequence[str]) -> dict[str, RequeueResult]:
        """Judge whether there is anything to see of these jobs, by uid."""
        stored = {
            row.partner_txn_uid: row for row in rows_of(connection, self._job, {"uids": uids})
        }
        return {uid: RequeueResult(uid, *_judge(stored.get(uid))) for uid in uids}

    def find(self, connection: Connection, wanted: JobFilter, *, most: int) -> list[str]:
        """Return some jobs of a filter of which there is something to see, locked."""
        statement = (
            select(JOBS.partner_txn_uid)
            .where(*self._wanted(wanted))
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        return [row.partner_txn_uid for row in rows_of(connection, statement, {})]

    def count(self, wanted: JobFilter) -> dict[tuple[str, str], int]:
        """Count the jobs of a filter of which there is something to see, by outcome and partner."""
        names = (JOBS.outcome, JOBS.partner_id)
        statement = select(*names, func.count()).where(*self._wanted(wanted)).group_by(*names)
        return {(row[0], row[1]): row[2] for row in self._database.read(statement)}

    def _wanted(self, wanted: JobFilter) -> list[ColumnElement[bool]]:
        unseen = has_unseen_drift() if wanted.drifted else is_unseen()
        return [*wanted.conditions(), unseen, JOBS.continued_by.is_(None)]


def _to_see() -> ColumnElement[bool]:
    return or_(is_unseen(), has_unseen_drift())


def _judge(row: AnyRow | None) -> tuple[Verdict, dict[str, Any] | None]:
    if row is None:
        return Verdict.NOT_FOUND, None
    job = row._asdict()
    if row.state not in FINAL:
        return Verdict.NOT_FINAL, job
    if row.to_see:
        return Verdict.DONE, job
    return Verdict.DONE_BEFORE if row.seen_at else Verdict.NOTHING_TO_SEE, job

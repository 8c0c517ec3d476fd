"""What operators read: one job with its evidence, lists, counts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    func,
    or_,
    select,
)

from worker.domain.states import FINAL, Outcome, State
from worker.store.engine.database import AnyRow, AnySelect, Database, rows_of
from worker.store.engine.elements import Bytewise, Now
from worker.store.jobs.same_token import OTHER, is_other_of
from worker.store.jobs.transitions import last_word, waiting
from worker.store.reports.filters import EVERY_JOB, JobFilter
from worker.store.schema.tables import (
    JOBS,
    cancel_attempts,
    cancel_jobs,
    operator_actions,
    token_statuses,
)

BATCH = 500
MOST_OTHERS = 10
"""So many other jobs of a token are named: more need no other act."""


@dataclass(frozen=True, slots=True)
class JobFile:
    """All that is stored about one job; `same_token` are other jobs that name its token."""

    job: dict[str, Any]
    attempts: list[dict[str, Any]]
    tokens: list[dict[str, Any]]
    same_token: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts over all jobs, and the age of the oldest due job, which shows every standstill."""

    states: dict[str, int]
    outcomes: dict[str, int]
    due: int
    oldest_due: timedelta | None
    attempts: int


class Reports:
    """The reading statements; on SQLite they block no writer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        uid: BindParameter[str] = bindparam("uid")
        self._job = select(cancel_jobs).where(JOBS.partner_txn_uid == uid)
        self._attempts = _of_job(cancel_attempts, uid, cancel_attempts.c.number)
        self._tokens = _of_job(
            token_statuses, uid, token_statuses.c.number, token_statuses.c.position
        )
        self._same_token = (
            select(OTHER.partner_txn_uid, OTHER.reference1, OTHER.state, OTHER.outcome)
            .join(cancel_jobs, and_(*is_other_of(cancel_jobs)))
            # One that was reissued has a job in its place, which names them.
            .where(JOBS.partner_txn_uid == uid, JOBS.continued_by.is_(None))
            .order_by(Bytewise(OTHER.partner_txn_uid))
            .limit(MOST_OTHERS)
        )
        self._counts = select(
            JOBS.state, JOBS.outcome, func.count().label("jobs"), func.sum(JOBS.attempts)
        ).group_by(JOBS.state, JOBS.outcome)
        due = and_(waiting(), JOBS.next_attempt_at <= Now())
        self._due = select(func.count(), func.min(JOBS.next_attempt_at), Now()).where(due)

    def file(self, uid: str) -> JobFile | None:
        """Return a job with its attempts and token statuses; None if there is none."""
        with self._database.reading() as connection:
            jobs = rows_of(connection, self._job, {"uid": uid})
            if not jobs:
                return None
            return JobFile(
                job=_plain(jobs[0]),
                attempts=[_plain(row) for row in rows_of(connection, self._attempts, {"uid": uid})],
                tokens=[_plain(row) for row in rows_of(connection, self._tokens, {"uid": uid})],
                same_token=[
                    _plain(row) for row in rows_of(connection, self._same_token, {"uid": uid})
                ],
            )

    def jobs(self, wanted: JobFilter = EVERY_JOB, *, most: int = 100) -> list[dict[str, Any]]:
        """Return jobs, the last changed first."""
        statement = select(cancel_jobs).where(*wanted.conditions())
        order = JOBS.updated_at.desc(), Bytewise(JOBS.partner_txn_uid).desc()
        statement = statement.order_by(*order)
        return [_plain(row) for row in self._database.read(statement.limit(most))]

    def finals(
        self, wanted: JobFilter, *, most: int | None = None, batch: int = BATCH
    ) -> Iterator[list[dict[str, Any]]]:
        """
        Yield final jobs that no other continues, in batches, by their uid.

        Each comes once, whatever changes meanwhile.
        """
        statement = select(JOBS.partner_txn_uid, JOBS.partner_id, JOBS.outcome).where(
            JOBS.state.in_(sorted(FINAL)), JOBS.continued_by.is_(None), *wanted.conditions()
        )
        yield from self._pages(statement, most, batch)

    def unfinished(
        self, wanted: JobFilter, *, most: int | None = None, batch: int = BATCH
    ) -> Iterator[list[dict[str, Any]]]:
        """
        Yield jobs that are not final, in batches, by their uid.

        The `outcome` of each is the one that it would end with, undecided.
        """
        outcome = last_word().label("outcome")
        statement = select(JOBS.partner_txn_uid, JOBS.partner_id, outcome).where(
            # Only of these an index holds the few rows.
            or_(waiting(), JOBS.lease_id.is_not(None)),
            *wanted.conditions(),
        )
        yield from self._pages(statement, most, batch)

    def _pages(
        self, statement: AnySelect, most: int | None, batch: int
    ) -> Iterator[list[dict[str, Any]]]:
        ordered = statement.order_by(JOBS.partner_txn_uid)
        left, after = most, ""
        while left is None or left > 0:
            size = batch if left is None else min(batch, left)
            page = ordered.where(JOBS.partner_txn_uid > after).limit(size)
            rows = [_plain(row) for row in self._database.read(page)]
            if rows:
                yield rows
                after = rows[-1]["partner_txn_uid"]
            if len(rows) < size:
                return
            left = None if left is None else left - len(rows)

    def actions(self, target: str | None = None, *, most: int = 100) -> list[dict[str, Any]]:
        """Return operators' actions, on one job or partner or on any, the newest first."""
        statement = select(operator_actions).order_by(operator_actions.c.id.desc()).limit(most)
        if target is not None:
            statement = statement.where(operator_actions.c.target == target)
        return [_plain(row) for row in self._database.read(statement)]

    def stats(self) -> Stats:
        """Count the jobs by state and outcome, and return how long the oldest due one waits."""
        with self._database.reading() as connection:
            rows = rows_of(connection, self._counts, {})
            ((due, oldest, now),) = rows_of(connection, self._due, self._database.times)
        states = dict.fromkeys(map(str, State), 0)
        outcomes = dict.fromkeys(map(str, Outcome), 0)
        for state, outcome, jobs, _ in rows:
            states[state] += jobs
            if outcome is not None:
                outcomes[outcome] += jobs
        return Stats(
            states=states,
            outcomes=outcomes,
            due=due,
            oldest_due=max(now - oldest, timedelta(0)) if oldest else None,
            attempts=sum(row[3] or 0 for row in rows),
        )


def _of_job(table: Table, uid: BindParameter[str], *order: ColumnElement[int]) -> Select[Any]:
    return select(table).where(table.c.partner_txn_uid == uid).order_by(*order)


def _plain(row: AnyRow) -> dict[str, Any]:
    return row._asdict()

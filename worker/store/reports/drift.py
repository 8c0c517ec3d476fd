"""Drift: an audit that began after a job's end, and in which the bank contradicted that end."""

from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)

from worker.store.engine.database import AnySelect, Database, rows_of
from worker.store.schema.tables import DRIFTS, JOBS, audits, cancel_jobs

AUDITS = audits.c


def has_drifted() -> ColumnElement[bool]:
    """Return the condition, never NULL, under which an audit contradicts a job's end."""
    return select(AUDITS.id).where(_contradicts()).correlate(cancel_jobs).exists()


def has_unseen_drift() -> ColumnElement[bool]:
    """Return the condition, never NULL, under which nobody has seen what contradicts the end."""
    where = (_contradicts(), _is_unseen())
    return select(AUDITS.id).where(*where).correlate(cancel_jobs).exists()


def drifted_uids() -> Select[tuple[str]]:
    """Select the uids of jobs that an audit has ever contradicted: few, and found by an index."""
    return select(AUDITS.partner_txn_uid).where(_drifts())


def unseen_drift() -> AnySelect:
    """Select how many jobs have drifted unseen, and when the first audit found one."""
    return (
        select(func.count(JOBS.partner_txn_uid.distinct()), func.min(AUDITS.finished_at))
        .select_from(audits)
        .join(cancel_jobs, _contradicts())
        .where(JOBS.continued_by.is_(None), _is_unseen())
    )


class Drifts:
    """The statements that read the drift of one job."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._latest = (
            select(audits)
            .select_from(audits)
            .join(cancel_jobs, _contradicts())
            .where(JOBS.partner_txn_uid == bindparam("uid"))
            .order_by(AUDITS.id.desc())
            .limit(1)
        )

    def latest(self, uid: str) -> dict[str, Any] | None:
        """Return the last audit that contradicts a job's end; None if none does."""
        with self._database.reading() as connection:
            return self.latest_in(connection, uid)

    def latest_in(self, connection: Connection, uid: str) -> dict[str, Any] | None:
        """Return the same, as a transaction sees it."""
        rows = rows_of(connection, self._latest, {"uid": uid})
        return rows[0]._asdict() if rows else None


def _contradicts() -> ColumnElement[bool]:
    """Return the condition under which an audit contradicts the end that a job has now."""
    return and_(
        AUDITS.partner_txn_uid == JOBS.partner_txn_uid,
        _drifts(),
        AUDITS.held == JOBS.outcome,
        AUDITS.started_at >= JOBS.finished_at,
    )


def _is_unseen() -> ColumnElement[bool]:
    return or_(JOBS.seen_at.is_(None), JOBS.seen_at < AUDITS.finished_at)


def _drifts() -> ColumnElement[bool]:
    # As text: an index serves the statement only if its condition stands there as in the index.
    return literal_column(f"audits.{DRIFTS}", Boolean())

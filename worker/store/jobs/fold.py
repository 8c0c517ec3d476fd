"""Folds old attempt rows that say the same: the evidence of long doubt stays small (ADR 24)."""

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Float,
    Select,
    bindparam,
    delete,
    literal,
    literal_column,
    select,
    update,
)

from worker.domain.folding import FOLDED_AFTER, MANY_CONVERSATIONS, Fold, StoredAttempt, folds
from worker.domain.judgement import LEASE_ENDED
from worker.domain.states import Event
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.elements import Now, NowPlus
from worker.store.jobs.transitions import waiting
from worker.store.schema.tables import JOBS, cancel_attempts, cancel_jobs, token_statuses

ATTEMPTS = cancel_attempts.c
TOKENS = token_statuses.c
LOOKED_AT_AGAIN = timedelta(minutes=30)
"""After so long a job's rows are looked through again."""
MOST_ROWS = 5000
"""The rows of one job that are read at once."""
UNDECIDED = (str(Event.RETRY), str(Event.DOUBT))
_WORDS = ("kind", "heard", "decision", "spent", "http_status", "status_code", "error_code")


class Folding:
    """
    The statements that fold. Any number of copies may run at once: a locked job is skipped.

    With nothing to fold one look at a small index is all that is done.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        this = JOBS.partner_txn_uid == bindparam("uid")
        uid: BindParameter[str] = bindparam("uid")
        numbers: BindParameter[int] = bindparam("numbers", expanding=True)
        self._long = long_statements()
        self._lock = (
            select(JOBS.requeued_at)
            .where(this, *_is_long())
            .with_for_update(skip_locked=True, key_share=True)
        )
        self._attempts = (
            select(cancel_attempts)
            .where(
                ATTEMPTS.partner_txn_uid == uid,
                ATTEMPTS.finished_at <= _ago(FOLDED_AFTER),
                ATTEMPTS.decision.in_(UNDECIDED),
                # A late answer may still take the place of this one.
                ATTEMPTS.heard != LEASE_ENDED,
            )
            .order_by(ATTEMPTS.number)
            .limit(MOST_ROWS)
        )
        self._tokens = (
            select(token_statuses)
            .where(TOKENS.partner_txn_uid == uid)
            .order_by(TOKENS.number, TOKENS.position)
        )
        self._keep = (
            update(cancel_attempts)
            .where(ATTEMPTS.partner_txn_uid == uid, ATTEMPTS.number == bindparam("this_number"))
            .values(folded=bindparam("new_folded"), folded_minutes=bindparam("new_minutes"))
        )
        self._drop = [
            delete(table).where(table.c.partner_txn_uid == uid, table.c.number.in_(numbers))
            for table in (token_statuses, cancel_attempts)
        ]
        self._look = update(cancel_jobs).where(this).values(folded_at=Now())

    def __call__(self, *, most: int) -> int:
        """Fold the rows of so many jobs at the most; return how many rows are gone."""
        with self._database.reading() as connection:
            params = {**self._database.times, "most": most}
            uids = [row[0] for each in self._long for row in rows_of(connection, each, params)]
        return sum(map(self._fold, uids[:most]))

    def _fold(self, uid: str) -> int:
        with self._database.writing() as connection:
            params: dict[str, object] = {**self._database.times, "uid": uid}
            jobs = rows_of(connection, self._lock, params)
            if not jobs:
                return 0
            found = list(folds(self._stored(connection, params, jobs[0])))
            for fold in found:
                self._write(connection, params, fold)
            connection.execute(self._look, params)
        return sum(len(fold.gone) for fold in found)

    def _stored(
        self, connection: Connection, params: dict[str, object], job: AnyRow
    ) -> list[StoredAttempt]:
        listed: dict[int, list[tuple[Any, ...]]] = {}
        for row in rows_of(connection, self._tokens, params):
            entry = (row.position, row.token_id, row.reference1, row.status)
            listed.setdefault(row.number, []).append(entry)
        return [
            StoredAttempt(
                row.number,
                row.started_at,
                (*_words(row, job), *listed.get(row.number, ())),
                row.folded,
                row.folded_minutes or {},
            )
            for row in rows_of(connection, self._attempts, params)
        ]

    def _write(self, connection: Connection, params: dict[str, object], fold: Fold) -> None:
        kept = {
            "this_number": fold.number,
            "new_folded": fold.folded,
            "new_minutes": fold.minutes,
        }
        connection.execute(self._keep, {**params, **kept})
        for statement in self._drop:
            connection.execute(statement, {**params, "numbers": fold.gone})


def long_statements() -> list[Select[tuple[str]]]:
    """
    Return the statements that find jobs with rows to fold, those never looked at first.

    Two, and in the order of the small index over such jobs: with an OR in their place, or without
    the order, PostgreSQL and SQLite may read every job that waits (measured).
    """
    long = select(JOBS.partner_txn_uid).where(*_is_long()).order_by(JOBS.folded_at)
    seldom = (JOBS.folded_at.is_(None), JOBS.folded_at < _ago(LOOKED_AT_AGAIN))
    return [long.where(each).limit(bindparam("most")) for each in seldom]


def _is_long() -> tuple[ColumnElement[bool], ...]:
    """Return the conditions on a job that may have rows to fold, as in the index."""
    return waiting(), JOBS.conversations > literal_column(str(MANY_CONVERSATIONS))


def _ago(time: timedelta) -> NowPlus:
    return NowPlus(literal(-time.total_seconds(), Float()))


def _words(row: AnyRow, job: AnyRow) -> tuple[object, ...]:
    """
    Return all by which a row was judged, and by which a dialect would judge it again.

    A description often holds an id of its own; it counts only if the short code was not stored
    beside it. What was asked since a requeue stays apart from what was asked before.
    """
    description = row.error_desc if row.short_code is None else None
    is_recent = job.requeued_at is not None and row.started_at >= job.requeued_at
    return (*(getattr(row, name) for name in _WORDS), row.short_code, description, is_recent)

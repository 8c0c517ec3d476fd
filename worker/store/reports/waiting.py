"""Jobs that wait for a person: on words that nobody has taught, or for credentials."""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import Boolean, ColumnElement, and_, func, literal_column, select

from worker.domain.judgement import UNKNOWN_WORDS
from worker.store.engine.column_types import listed
from worker.store.engine.database import Database
from worker.store.engine.elements import Now
from worker.store.jobs.transitions import waiting
from worker.store.schema.tables import JOBS, cancel_attempts, cancel_jobs

ATTEMPTS = cancel_attempts.c
# As text: an index serves the statement only if its condition stands there as in the index.
_UNKNOWN: ColumnElement[bool] = literal_column(
    f"cancel_attempts.heard IN ({listed(sorted(UNKNOWN_WORDS))})", Boolean()
)


class Waiting:
    """The statements that count, each up to a bound: more would tell a person nothing more."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def on_unknown_words(self, *, most: int) -> int:
        """
        Count jobs that wait and whose last answer had a word that the dialect did not know.

        In whatever state they wait: after an inquiry that is `retryable` too.
        """
        last = and_(
            ATTEMPTS.partner_txn_uid == JOBS.partner_txn_uid,
            ATTEMPTS.number == JOBS.conversations,
        )
        found = (
            select(JOBS.partner_txn_uid)
            .select_from(cancel_jobs)
            .join(cancel_attempts, last)
            .where(waiting(), _UNKNOWN)
            .limit(most)
            .subquery()
        )
        ((count,),) = self._database.read(select(func.count()).select_from(found))
        return int(count)

    def of_partners(self, partner_ids: Collection[str], *, most: int) -> dict[str, int]:
        """Count the jobs that wait for these partners, by partner."""
        return self._by_partner(JOBS.partner_id.in_(sorted(partner_ids)), most)

    def of_other_partners(self, partner_ids: Collection[str], *, most: int) -> dict[str, int]:
        """Count the jobs that wait for any partner but these, by partner."""
        return self._by_partner(JOBS.partner_id.not_in(sorted(partner_ids)), most)

    def _by_partner(self, whose: ColumnElement[bool], most: int) -> dict[str, int]:
        found = select(JOBS.partner_id).where(waiting(), whose).limit(most).subquery()
        name = found.c.partner_id
        rows = self._database.read(select(name, func.count()).group_by(name))
        return {row[0]: row[1] for row in rows}

    def longest_due(self, *, without: Collection[str]) -> timedelta:
        """Return how long the oldest due job waits that is of none of these partners."""
        oldest = select(func.min(JOBS.next_attempt_at), Now()).where(
            waiting(), JOBS.next_attempt_at <= Now(), JOBS.partner_id.not_in(sorted(without))
        )
        ((at, now),) = self._database.read(oldest)
        return max(now - at, timedelta(0)) if at else timedelta(0)

"""Jobs that wait for a person: on words that nobody has taught, or for credentials."""

from collections.abc import Collection
from dataclasses import dataclass
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


LOOKED_AT = 10_000
"""So many of the jobs that wait are looked at: an index has no partner, and the table is large."""


@dataclass(frozen=True, slots=True)
class WaitingCounts:
    """How many jobs wait for each partner; `complete` if all that wait were looked at."""

    by_partner: dict[str, int]
    complete: bool


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

    def longest_by_partner(self) -> WaitingCounts:
        """Count the jobs that wait longest, by partner: what nobody serves is among them."""
        longest = (
            select(JOBS.partner_id).where(waiting()).order_by(JOBS.next_attempt_at).limit(LOOKED_AT)
        ).subquery()
        name = longest.c.partner_id
        rows = self._database.read(select(name, func.count()).group_by(name))
        counts = {row[0]: int(row[1]) for row in rows}
        return WaitingCounts(counts, complete=sum(counts.values()) < LOOKED_AT)

    def longest_due(self, *, without: Collection[str]) -> timedelta:
        """Return how long the oldest due job waits that is of none of these partners."""
        oldest = select(func.min(JOBS.next_attempt_at), Now()).where(
            waiting(), JOBS.next_attempt_at <= Now(), JOBS.partner_id.not_in(sorted(without))
        )
        ((at, now),) = self._database.read(oldest)
        return max(now - at, timedelta(0)) if at else timedelta(0)

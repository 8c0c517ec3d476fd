"""Ends that a person has to see and nobody has: how many of each outcome, and since when."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Boolean, ColumnElement, func, literal_column, select

from worker.domain.states import ALARMING, Outcome
from worker.store.engine.database import Database
from worker.store.reports.drift import unseen_drift
from worker.store.schema.tables import JOBS, UNSEEN


@dataclass(frozen=True, slots=True)
class UnseenEnds:
    """Ends that nobody has seen: how many, and when the oldest of them was written."""

    jobs: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class Unseen:
    """Ends that nobody has seen, by outcome, those that cost money soonest first; and drift."""

    ends: dict[Outcome, UnseenEnds]
    drift: UnseenEnds | None


def is_unseen() -> ColumnElement[bool]:
    """Return the condition under which a person has to see a job's end and nobody has."""
    # As text: an index serves the statement only if its condition stands there as in the index.
    return literal_column(f"({UNSEEN})", Boolean())


class UnseenReport:
    """The statements that count, each by an index over the unseen only."""

    def __init__(self, database: Database) -> None:
        self._database = database
        oldest = func.min(JOBS.finished_at).label("oldest_at")
        self._ends = (
            select(JOBS.outcome, func.count().label("jobs"), oldest)
            .where(is_unseen())
            .group_by(JOBS.outcome)
        )
        self._drift = unseen_drift()

    def read(self) -> Unseen:
        """Count the ends that nobody has seen."""
        counted = {
            Outcome(row.outcome): UnseenEnds(row.jobs, row.oldest_at)
            for row in self._database.read(self._ends)
        }
        ((drifted, oldest_at),) = self._database.read(self._drift)
        return Unseen(
            ends={outcome: counted[outcome] for outcome in ALARMING if outcome in counted},
            drift=UnseenEnds(drifted, oldest_at) if drifted else None,
        )

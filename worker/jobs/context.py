"""What an attempt needs, what it holds, and what became of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from worker.bank import Bank
from worker.domain.backoff import RandomSource
from worker.domain.decision import Policy
from worker.domain.partners import Roster
from worker.jobs.departure import Departure
from worker.store import Claim, Store


class Result(StrEnum):
    """What became of one message or hint."""

    UNKNOWN = "unknown"
    NOTHING = "nothing"
    SETTLED = "settled"
    LATE = "late"
    UNWRITTEN = "unwritten"


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """
    What an attempt needs.

    `closed` says whether no call may begin now. `monotonic` (seconds), `sleep` and `random` are
    arguments, so that tests control them.
    """

    store: Store
    bank: Bank
    roster: Callable[[], Roster]
    policy: Policy
    lease: timedelta
    deadline: timedelta
    random: RandomSource
    closed: Callable[[], bool] = bool
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep


@dataclass(frozen=True, slots=True)
class Held:
    """A claim that is held, and the reading of `monotonic` from just before it was taken."""

    claim: Claim
    since: float


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Measures the time since just before the claim, and when the call leaves."""

    context: AttemptContext
    started: float
    departure: Departure | None = None

    def elapsed(self) -> timedelta:
        """Return the time since then."""
        return timedelta(seconds=self.context.monotonic() - self.started)

    def before_lease_ends(self) -> timedelta:
        """Return how much of the lease is left; negative if nothing is."""
        return self.context.lease - self.elapsed()

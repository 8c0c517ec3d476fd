"""How a claim is settled while the database may fail, and the next one of a run taken with it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from worker.domain.decision import Decision
from worker.errors import StoreUnavailable
from worker.jobs.context import Held, Result, Stopwatch
from worker.store import Claim, Evidence, NextClaim
from worker.telemetry.log import get_logger

log = get_logger(__name__)

SETTLE_PAUSE_SECONDS = 0.2
"""The wait between two tries to write an outcome while the database is unavailable."""


class Succession(Protocol):
    """Says what comes after a job; after one that is not part of a run, nothing."""

    def next_claim(self, claim: Claim, /) -> NextClaim | None:
        """Return what claims the next job, now that the bank has answered about this one."""

    def came_to(self, place: datetime, following: NextClaim, /) -> None:
        """Take note of how far the line was read."""


class NoSuccession:
    """After this job comes none."""

    def next_claim(self, _claim: Claim, /) -> None:
        """Return None."""

    def came_to(self, place: datetime, following: NextClaim, /) -> None:
        """Do nothing: no line is read."""


@dataclass(frozen=True, slots=True)
class Settling:
    """A claim, and what is to be written of it. `watch` measures since just before the claim."""

    claim: Claim
    decision: Decision
    evidence: Evidence
    watch: Stopwatch

    def settle(self, run: Succession) -> tuple[Result, Held | None]:
        """
        Write the outcome, and claim the next job with it. If that fails, write the outcome alone.

        While the database is unavailable, try until the lease ends. After that the rescue settles
        this attempt, and the answer would be late anyway.
        """
        context, jobs = self.watch.context, self.watch.context.store.jobs
        since, following = context.monotonic(), run.next_claim(self.claim)
        try:
            settled = jobs.settle_and_claim(self.claim, self.decision, self.evidence, following)
        except StoreUnavailable as error:
            if not self._may_try_again(error):
                return Result.UNWRITTEN, None
        except Exception:
            if following is None:
                raise
            # The row of the next job may be why: this outcome must not be lost by it.
            log.exception("settled_alone", partner_txn_uid=self._uid)
        else:
            if following is not None and settled.is_mine:
                run.came_to(settled.place, following)
            return _result(is_mine=settled.is_mine), _held(settled.following, since)
        return self._settle_alone(following, since)

    def _settle_alone(
        self, following: NextClaim | None, since: float
    ) -> tuple[Result, Held | None]:
        """
        Write the outcome after a try that failed, which may have been committed all the same.

        Then the next job was claimed too, `since` that try: it is found by its lease id.
        """
        jobs, result = self.watch.context.store.jobs, Result.UNWRITTEN
        while True:
            try:
                if result is Result.UNWRITTEN:
                    mine = jobs.settle(self.claim, self.decision, self.evidence)
                    mine = mine or jobs.has_settled(self.claim, self.decision)
                    result = _result(is_mine=mine)
                if following is None or result is Result.LATE:
                    return result, None
                return result, _held(jobs.claimed_as(following), since)
            except StoreUnavailable as error:
                if not self._may_try_again(error):
                    return result, None

    def _may_try_again(self, error: StoreUnavailable) -> bool:
        """Wait a moment; return False if the lease ends before that."""
        if self.watch.before_lease_ends().total_seconds() <= SETTLE_PAUSE_SECONDS:
            log.error("outcome_not_written", partner_txn_uid=self._uid, exc_info=error)
            return False
        log.warning("settle_again", partner_txn_uid=self._uid, reason=str(error))
        self.watch.context.sleep(SETTLE_PAUSE_SECONDS)
        return True

    @property
    def _uid(self) -> str:
        return self.claim.request.partner_txn_uid


def _result(*, is_mine: bool) -> Result:
    return Result.SETTLED if is_mine else Result.LATE


def _held(claim: Claim | None, since: float) -> Held | None:
    return None if claim is None else Held(claim, since)

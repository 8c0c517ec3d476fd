"""A run: one message, and after its job whatever is due next of the same partner, job by job."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from worker.domain.bounds import EARLIEST
from worker.jobs.attempt import claim_job, converse
from worker.jobs.context import AttemptContext, Held, Result
from worker.store import Claim, NextClaim
from worker.telemetry.log import get_logger

log = get_logger(__name__)

PLACE_LASTS_SECONDS = 1.0
"""How long the readers of a line go on from where the last one was; then from its beginning."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """
    After so many jobs, or so long, a run claims no more.

    Messages wait behind runs no longer than this and one call, whatever is due of a partner.
    """

    jobs: int
    time: timedelta


class Places:
    """
    How far the line of each partner was read, as an expiry: the next reader goes on from there.

    What stands before that place is claimed by others, not due, or a dead row that PostgreSQL
    keeps for an old snapshot: it is not read again for each job. A job that comes to stand there
    waits until the line is read from its beginning, or has its own hint. Threads may share one.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._known: dict[str, tuple[float, datetime]] = {}

    def of(self, partner_id: str) -> datetime:
        """Return the place; `EARLIEST` is the beginning of the line."""
        return self._fresh(partner_id)[1]

    def move(self, partner_id: str, *, to: datetime) -> None:
        """Move the place towards the end of the line."""
        since, place = self._fresh(partner_id)
        self._known[partner_id] = since, max(place, to)

    def _fresh(self, partner_id: str) -> tuple[float, datetime]:
        now = self._monotonic()
        since, place = self._known.get(partner_id, (now, EARLIEST))
        return (since, place) if now - since < PLACE_LASTS_SECONDS else (now, EARLIEST)


class Runs:
    """The runs of one process: what their attempts need, their limits, their places."""

    def __init__(self, context: AttemptContext, limits: RunLimits) -> None:
        self._context = context
        self._limits = limits
        self._places = Places(context.monotonic)

    def run(self, uid: str, progressed: Callable[[], object] = lambda: None) -> Result:
        """
        Make an attempt at this job, then at the jobs that are next in line of its partner.

        Return what became of the first. The run ends when nothing is due, at its limits, when no
        call may begin (`AttemptContext.closed`), and when the partner takes no calls or only some.
        Each job has its own claim, which is taken when the one before is settled. `progressed` is
        called between two jobs. Raises `StoreUnavailable` only before the bank is asked about the
        first.
        """
        held = claim_job(uid, self._context)
        if isinstance(held, Result):
            return held
        run = _Run(self._context, self._limits, self._places, self._context.monotonic())
        result, following = converse(held, self._context, run)
        while following is not None:
            progressed()
            following = self._go_on(following, run)
        return result

    def _go_on(self, held: Held, run: "_Run") -> Held | None:
        try:
            return converse(held, self._context, run)[1]
        except Exception:
            # A defect of ours must not end the worker. When the lease ends, the job is in doubt.
            log.exception("attempt_failed", partner_txn_uid=held.claim.request.partner_txn_uid)
            return None


@dataclass(slots=True)
class _Run:
    """One run, as its settlements see it."""

    context: AttemptContext
    limits: RunLimits
    places: Places
    began: float
    _jobs: int = field(init=False, default=1)

    def next_claim(self, claim: Claim) -> NextClaim | None:
        took = timedelta(seconds=self.context.monotonic() - self.began)
        is_over = self._jobs >= self.limits.jobs or took >= self.limits.time
        if is_over or self.context.closed():
            return None
        self._jobs += 1
        partner_id = claim.request.partner_id
        return self.context.store.jobs.next_claim(
            partner_id,
            lease=self.context.lease,
            roster=self.context.roster(),
            place=self.places.of(partner_id),
        )

    def came_to(self, place: datetime, following: NextClaim) -> None:
        self.places.move(following.partner_id, to=place)

"""Everything between attempts: one pass of the sweep."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from worker.domain.backoff import Chance
from worker.domain.decision import Policy
from worker.domain.judgement import abandon
from worker.domain.partners import Roster
from worker.domain.states import Event
from worker.store import INQUIRY, Claim, Evidence, Store
from worker.telemetry.log import get_logger

log = get_logger(__name__)

BATCH = 200
HINT_AGAIN_AFTER = timedelta(seconds=15)
"""A hint that led to nothing for so long counts as a lost message."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """
    What a pass works with.

    `hint` sends messages and never raises; `closed` says whether the bank is in maintenance.
    """

    store: Store
    policy: Policy
    high_water: int
    hint: Callable[[list[str]], None]
    chance: Chance
    roster: Callable[[], Roster]
    hint_again_after: timedelta = HINT_AGAIN_AFTER
    closed: Callable[[], bool] = bool


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did."""

    rescued: int
    exhausted: int
    hinted: int


def sweep(means: Sweep) -> Pass:
    """
    Rescue dead claims, end jobs past their limits, hint due jobs. Safe in any number of copies.

    Raises `StoreUnavailable`; what was done until then stays done.
    """
    return Pass(rescued=rescue(means), exhausted=_exhaust(means), hinted=_hint(means))


def rescue(means: Sweep) -> int:
    """
    Move jobs whose lease ended into doubt: their worker may have reached the bank.

    Returns how many. The one that is too late, because the worker came back, does nothing.
    """
    return sum(_abandon(claim, means) for claim in means.store.backlog.dead(most=BATCH))


def _abandon(claim: Claim, means: Sweep) -> bool:
    case = claim.case(
        at=claim.lease_ends_at,
        chance=means.chance(),
        inquirers=means.roster().inquirers,
    )
    decision = abandon(case, means.policy, inquiry=claim.kind == INQUIRY)
    evidence = Evidence(
        wire_uid=claim.on_the_wire.partner_txn_uid, duration=claim.lease_ends_at - claim.started_at
    )
    moved = means.store.jobs.settle(claim, decision, evidence)
    if moved:
        log.warning("rescued", partner_txn_uid=claim.request.partner_txn_uid, number=claim.number)
    return moved


def _exhaust(means: Sweep) -> int:
    ended = means.store.backlog.exhaust(most=BATCH, inquirers=means.roster().inquirers)
    for uid, outcome in ended:
        log.warning(str(Event.EXHAUST), partner_txn_uid=uid, outcome=str(outcome))
    return len(ended)


def _hint(means: Sweep) -> int:
    """Hint at due jobs, but at none while the bank is closed: they wait, and spend nothing."""
    if means.closed():
        return 0
    due = means.store.backlog.hint(
        high_water=means.high_water,
        again_after=means.hint_again_after,
        roster=means.roster(),
    )
    if due:
        means.hint(due)
    return len(due)

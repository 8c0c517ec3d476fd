"""One pass of the sweep: all work on jobs between attempts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from worker.domain.backoff import RandomSource
from worker.domain.decision import Policy
from worker.domain.judgement import decide_lease_ended
from worker.domain.partners import Roster
from worker.domain.states import Event
from worker.errors import StoreUnavailable
from worker.store import Claim, ClaimKind, Evidence, Store, refuses_row
from worker.telemetry.log import get_logger

log = get_logger(__name__)

BATCH = 200
FOLD_BATCH = 20
"""Jobs whose evidence is looked through in one pass."""
HINT_AGAIN_AFTER = timedelta(seconds=15)
"""A hint without an attempt for so long counts as a lost message."""


@dataclass(frozen=True, slots=True)
class SweepContext:
    """
    What a pass needs.

    At most `high_water` hints count at once, at most `runs` of them of partners whose jobs go on
    in runs. `hint` sends messages, never raises, and returns the uids whose message was not sent;
    `closed` says whether no call may begin now.
    """

    store: Store
    policy: Policy
    high_water: int
    hint: Callable[[list[str]], Sequence[str] | None]
    random: RandomSource
    roster: Callable[[], Roster]
    runs: int | None = None
    hint_again_after: timedelta = HINT_AGAIN_AFTER
    closed: Callable[[], bool] = bool


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What one pass did."""

    rescued: int
    exhausted: int
    hinted: int
    folded: int = 0


def sweep(context: SweepContext) -> SweepResult:
    """
    Rescue dead claims, end jobs past their limits, hint due jobs, fold old evidence.

    Any number of workers may do so at once. A step that fails does not keep the next one from its
    work; what it raised is raised at the end. Raises `StoreUnavailable`: what was done before stays
    done.
    """
    failed: list[Exception] = []

    def done(step: Callable[[SweepContext], int]) -> int:
        try:
            return step(context)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - raised again below
            failed.append(error)
            return 0

    done(_mend)
    result = SweepResult(
        rescued=done(rescue),
        exhausted=done(_exhaust),
        hinted=done(_hint),
        folded=done(_fold),
    )
    for error in failed:
        raise error
    return result


def _mend(context: SweepContext) -> int:
    """Let jobs be due again that hold a time which never comes."""
    mended = context.store.misfits.mend()
    for uid in mended:
        log.error("time_set_right", partner_txn_uid=uid)
    return len(mended)


def rescue(context: SweepContext) -> int:
    """
    Move jobs whose lease has ended into doubt, because their worker may have reached the bank.

    Return how many. If the worker settles the job first, this does nothing. A job whose row cannot
    be written ends, and the others go on.
    """
    return sum(_rescued(claim, context) for claim in context.store.backlog.dead(most=BATCH))


def _rescued(claim: Claim, context: SweepContext) -> bool:
    try:
        return _abandon(claim, context)
    except StoreUnavailable:
        raise
    except Exception as error:
        log.exception("rescue_failed", partner_txn_uid=claim.request.partner_txn_uid)
        if not refuses_row(error):
            return False
        reason = f"its worker fell silent, and the row cannot be written: {error}"
    return context.store.misfits.end(claim, reason)


def _abandon(claim: Claim, context: SweepContext) -> bool:
    case = claim.case(
        at=claim.lease_ends_at,
        jitter=context.random(),
        inquirers=context.roster().inquirers,
    )
    decision = decide_lease_ended(case, context.policy, inquiry=claim.kind == ClaimKind.INQUIRY)
    evidence = Evidence(
        wire_uid=claim.on_the_wire.partner_txn_uid, duration=claim.lease_ends_at - claim.started_at
    )
    moved = context.store.jobs.settle(claim, decision, evidence)
    if moved:
        log.warning("rescued", partner_txn_uid=claim.request.partner_txn_uid, number=claim.number)
    return moved


def _exhaust(context: SweepContext) -> int:
    ended = context.store.backlog.exhaust(most=BATCH, inquirers=context.roster().inquirers)
    for uid, outcome in ended:
        log.warning(str(Event.EXHAUST), partner_txn_uid=uid, outcome=str(outcome))
    return len(ended)


def _fold(context: SweepContext) -> int:
    return context.store.backlog.fold(most=FOLD_BATCH)


def _hint(context: SweepContext) -> int:
    """Hint due jobs, but none while no call may begin: they wait, and lose no attempt."""
    if context.closed():
        return 0
    due = context.store.backlog.hint(
        high_water=context.high_water,
        runs=context.runs,
        again_after=context.hint_again_after,
        roster=context.roster(),
    )
    # Their stamp would hold them back for as long as a lost message does.
    unsent = (context.hint(due) or []) if due else []
    context.store.backlog.unhint(unsent)
    return len(due) - len(unsent)

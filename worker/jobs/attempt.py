"""One attempt: claim, ask the bank with no transaction open, judge, settle."""

from dataclasses import replace
from datetime import timedelta

from worker.bank.faults import bank_error
from worker.domain.advice import MOST_SHOWN
from worker.domain.answer import Answer
from worker.domain.decision import Case, Decision
from worker.domain.judgement import decide, decide_inquiry
from worker.domain.kplus import InquiryRequest
from worker.domain.partners import Partner
from worker.domain.wire import decide_unsendable, unsendable
from worker.errors import BankError, CallMisconfigured, JobNotFound, StoreUnavailable
from worker.jobs.context import AttemptContext, Held, Result, Stopwatch
from worker.jobs.departure import Departure
from worker.jobs.settling import NoSuccession, Settling, Succession
from worker.store import UNCONFIGURED, Claim, ClaimKind, Evidence
from worker.telemetry.log import get_logger

log = get_logger(__name__)


def attempt(uid: str, context: AttemptContext) -> Result:
    """
    Ask the bank once about a job, if it is due.

    Return `nothing` if no call may begin or the claim was refused: the job is not due, final or
    claimed by another worker, or its partner takes no call now. Return `unknown` if there is no
    such job. Raises `StoreUnavailable` only before the bank is asked.
    """
    held = claim_job(uid, context)
    return held if isinstance(held, Result) else converse(held, context, NoSuccession())[0]


def claim_job(uid: str, context: AttemptContext) -> Held | Result:
    """Claim a job, or return why there is nothing to do, as `attempt` does."""
    if context.closed():
        return Result.NOTHING if context.store.jobs.exists(uid) else Result.UNKNOWN
    since = context.monotonic()
    try:
        claim = context.store.jobs.claim(uid, lease=context.lease, roster=context.roster())
    except JobNotFound:
        return Result.UNKNOWN
    return Result.NOTHING if claim is None else Held(claim, since)


def converse(held: Held, context: AttemptContext, run: Succession) -> tuple[Result, Held | None]:
    """
    Ask the bank about a job that is held, and settle the claim.

    Return what became of it, and the next job of the run, which the settlement has claimed.
    """
    claim, roster = held.claim, context.roster()
    watch = Stopwatch(context, held.since)
    if wrong := unsendable(claim.request):
        return _end_unsent(claim, wrong, watch, run)
    partner = roster.get(claim.request.partner_id)
    watch = replace(watch, departure=depart(claim, partner, context))
    before = watch.elapsed()
    heard = _ask(claim, partner, watch)
    evidence = Evidence(
        wire_uid=claim.on_the_wire.partner_txn_uid,
        duration=watch.elapsed() - before,
        answer=heard if isinstance(heard, Answer) else None,
        credentials=partner.credentials if partner else "",
    )
    case = claim.case(
        at=claim.started_at + watch.elapsed(),
        jitter=context.random(),
        inquirers=roster.inquirers,
    )
    decision = _decide(heard, case, claim, context)
    result, following = Settling(claim, decision, evidence, watch).settle(run)
    _log_attempt(claim, decision, evidence, result)
    if result is Result.LATE:
        _settle_late(claim, heard, case, evidence, context)
    return result, following


def _end_unsent(
    claim: Claim, wrong: list[str], watch: Stopwatch, run: Succession
) -> tuple[Result, Held | None]:
    """End a job that no request can carry: it came past the orders, and asking changes nothing."""
    decision = decide_unsendable(wrong, doubted=claim.doubted)
    evidence = Evidence(wire_uid=claim.on_the_wire.partner_txn_uid, duration=timedelta(0))
    result, following = Settling(claim, decision, evidence, watch).settle(run)
    _log_attempt(claim, decision, evidence, result)
    return result, following


def _decide(
    heard: Answer | BankError, case: Case, claim: Claim, context: AttemptContext
) -> Decision:
    judge = decide if claim.kind == ClaimKind.CANCEL else decide_inquiry
    return judge(heard, case, context.policy)


def depart(claim: Claim, partner: Partner | None, context: AttemptContext) -> Departure | None:
    """Wait for the slot of a claim; return what sees to it that its call leaves in one."""
    if partner is None or claim.slot_at is None:
        return None
    departure = Departure(claim, partner, context.store, context.monotonic, context.sleep)
    departure.wait()
    return departure


def _ask(claim: Claim, partner: Partner | None, watch: Stopwatch) -> Answer | BankError:
    """Ask the bank within what is left of the lease. Return a fault as a value to be judged."""
    context = watch.context
    if partner is None:
        return CallMisconfigured(UNCONFIGURED, fault="unconfigured")
    bank, request = context.bank, claim.on_the_wire
    # A worker that was suspended since its claim (SIGSTOP, a paused machine) must not call:
    # another worker may have claimed the job by the time the request arrives.
    timeout = min(context.deadline, watch.before_lease_ends())

    def leave() -> None:
        # It may have waited for its slot, or for a connection, while the worker began to stop.
        if context.closed():
            raise bank_error("closed")
        if watch.departure is not None:
            watch.departure()

    try:
        if isinstance(request, InquiryRequest):
            return bank.inquire(partner, request, timeout=timeout, leaving=leave)
        return bank.cancel(partner, request, timeout=timeout, leaving=leave)
    except BankError as error:
        return error


def _settle_late(
    claim: Claim, heard: Answer | BankError, case: Case, evidence: Evidence, context: AttemptContext
) -> None:
    """Store an answer that came after the lease. The job is in doubt by then: judge it so."""
    decision = _decide(heard, replace(case, doubted=True), claim, context)
    late = replace(decision, reason=f"{decision.reason}; heard after the lease had ended")
    try:
        ended = context.store.jobs.settle_late(claim, late, evidence)
    except StoreUnavailable:
        # The rescue has settled this attempt. Only this evidence is missing.
        log.exception("late_answer_not_kept", partner_txn_uid=_uid(claim), heard=late.heard)
        return
    log.warning("late_answer", partner_txn_uid=_uid(claim), heard=late.heard, ended=ended)


def _log_attempt(claim: Claim, decision: Decision, evidence: Evidence, result: Result) -> None:
    sent = evidence.answer.retry_after_text[:MOST_SHOWN] if evidence.answer else ""
    log.info(
        "attempt",
        partner_txn_uid=_uid(claim),
        partner_id=claim.request.partner_id,
        number=claim.number,
        heard=decision.heard,
        decision=str(decision.event),
        outcome=decision.outcome and str(decision.outcome),
        duration_ms=round(evidence.duration.total_seconds() * 1000),
        result=str(result),
        **({"retry_after": sent} if sent else {}),
    )
    log_partner(claim.request.partner_id, decision)


def log_partner(partner_id: str, decision: Decision) -> None:
    """Log what a person should see at once: no call of this partner gets through."""
    if decision.pause_reason is not None:
        log.error("partner_paused", partner_id=partner_id, reason=decision.pause_reason)
    elif decision.turned_away:
        log.error("partner_turned_away", partner_id=partner_id, reason=decision.reason)


def _uid(claim: Claim) -> str:
    return claim.request.partner_txn_uid

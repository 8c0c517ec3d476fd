"""One attempt: claim, ask the bank with no transaction open, judge, settle."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from worker.bank import Bank
from worker.domain.backoff import Chance
from worker.domain.decision import Case, Decision, Policy
from worker.domain.judgement import decide, decide_inquiry
from worker.domain.kplus import Answer, InquiryRequest
from worker.domain.partners import Partner, Roster
from worker.errors import BankError, CallMisconfigured, JobNotFound, StoreUnavailable
from worker.store import UNCONFIGURED, Claim, ClaimKind, Evidence, Store
from worker.telemetry.log import get_logger

log = get_logger(__name__)

SETTLE_PAUSE = 0.2
"""Seconds between two tries to write an outcome while the database is away."""


class Result(StrEnum):
    """What one look at a job led to."""

    UNKNOWN = "unknown"
    NOTHING = "nothing"
    SETTLED = "settled"
    LATE = "late"
    UNWRITTEN = "unwritten"


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """
    What an attempt works with.

    `closed` says whether the bank is in maintenance now. `monotonic` (seconds), `sleep` and
    `chance` are arguments, so that tests own them.
    """

    store: Store
    bank: Bank
    roster: Callable[[], Roster]
    policy: Policy
    lease: timedelta
    deadline: timedelta
    chance: Chance
    closed: Callable[[], bool] = bool
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep


@dataclass(frozen=True, slots=True)
class _Watch:
    """The time since just before the claim, by a clock that nobody can set."""

    context: AttemptContext
    started: float

    def elapsed(self) -> timedelta:
        return timedelta(seconds=self.context.monotonic() - self.started)

    def before_lease_ends(self) -> timedelta:
        return self.context.lease - self.elapsed()


def attempt(uid: str, context: AttemptContext) -> Result:
    """
    Hold one conversation with the bank about a job, if its turn has come.

    `nothing` where the bank is closed or the claim was refused: not due, final, held by
    another, its partner taking no call now; `unknown` where there is no such job. Raises
    `StoreUnavailable` only before the bank was asked.
    """
    if context.closed():
        return Result.NOTHING if context.store.jobs.exists(uid) else Result.UNKNOWN
    watch = _Watch(context, context.monotonic())
    roster = context.roster()
    try:
        claim = context.store.jobs.claim(uid, lease=context.lease, roster=roster)
    except JobNotFound:
        return Result.UNKNOWN
    if claim is None:
        return Result.NOTHING
    if claim.wait:
        context.sleep(claim.wait.total_seconds())
    before = watch.elapsed()
    partner = roster.get(claim.request.partner_id)
    heard = _ask(claim, partner, watch)
    evidence = Evidence(
        wire_uid=claim.on_the_wire.partner_txn_uid,
        duration=watch.elapsed() - before,
        answer=heard if isinstance(heard, Answer) else None,
        credentials=partner.credentials if partner else "",
    )
    case = claim.case(
        at=claim.started_at + watch.elapsed(),
        chance=context.chance(),
        inquirers=roster.inquirers,
    )
    decision = _decide(heard, case, claim, context)
    result = _settle(claim, decision, evidence, watch)
    _tell(claim, decision, evidence, result)
    if result is Result.LATE:
        _settle_late(claim, heard, case, evidence, context)
    return result


def _decide(
    heard: Answer | BankError, case: Case, claim: Claim, context: AttemptContext
) -> Decision:
    judge = decide if claim.kind == ClaimKind.CANCEL else decide_inquiry
    return judge(heard, case, context.policy)


def _ask(claim: Claim, partner: Partner | None, watch: _Watch) -> Answer | BankError:
    """Ask the bank within what is left of the lease; a fault is a value to be judged."""
    context = watch.context
    if partner is None:
        return CallMisconfigured(UNCONFIGURED, fault="unconfigured")
    bank, request = context.bank, claim.on_the_wire
    # A worker that slept between its claim and here (SIGSTOP, a paused machine) must not
    # call: another may hold the job by the time the request arrives.
    within = min(context.deadline, watch.before_lease_ends())
    try:
        if isinstance(request, InquiryRequest):
            return bank.inquire(partner, request, within=within)
        return bank.cancel(partner, request, within=within)
    except BankError as error:
        return error


def _settle(claim: Claim, decision: Decision, evidence: Evidence, watch: _Watch) -> Result:
    """
    Write the outcome; while the database is away, try until the lease ends.

    After that the rescue speaks for this attempt, and the answer would be late anyway.
    """
    jobs, tried = watch.context.store.jobs, False
    while True:
        try:
            mine = jobs.settle(claim, decision, evidence)
            # The try before may have been committed, and only its acknowledgement lost.
            mine = mine or (tried and jobs.has_settled(claim, decision))
        except StoreUnavailable as error:
            tried = True
            if watch.before_lease_ends().total_seconds() <= SETTLE_PAUSE:
                log.exception("outcome_not_written", partner_txn_uid=_uid(claim))
                return Result.UNWRITTEN
            log.warning("settle_again", partner_txn_uid=_uid(claim), reason=str(error))
            watch.context.sleep(SETTLE_PAUSE)
        else:
            return Result.SETTLED if mine else Result.LATE


def _settle_late(
    claim: Claim, heard: Answer | BankError, case: Case, evidence: Evidence, context: AttemptContext
) -> None:
    """Keep an answer whose lease was lost. By then the job is in doubt: judge it as such."""
    decision = _decide(heard, replace(case, doubted=True), claim, context)
    late = replace(decision, reason=f"{decision.reason}; heard after the lease had ended")
    try:
        ended = context.store.jobs.settle_late(claim, late, evidence)
    except StoreUnavailable:
        # The rescue has spoken for this attempt already; only its evidence is poorer.
        log.exception("late_answer_not_kept", partner_txn_uid=_uid(claim), heard=late.heard)
        return
    log.warning("late_answer", partner_txn_uid=_uid(claim), heard=late.heard, ended=ended)


def _tell(claim: Claim, decision: Decision, evidence: Evidence, result: Result) -> None:
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
    )
    if decision.pause is not None:
        log.error("partner_paused", partner_id=claim.request.partner_id, reason=decision.pause)


def _uid(claim: Claim) -> str:
    return claim.request.partner_txn_uid

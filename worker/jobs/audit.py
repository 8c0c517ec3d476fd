"""
An audit: the bank is asked again about a final job, and its answer is compared with ours.

It changes no job. An answer that contradicts an outcome on which the order system has acted is
drift: a person must look into it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from worker.domain.answer import Answer
from worker.domain.claims import Evidence
from worker.domain.decision import Decision
from worker.domain.judgement import PAYABLE
from worker.domain.judgement import judge as judge_answer
from worker.domain.kplus import InquiryRequest
from worker.domain.partners import Partner
from worker.domain.states import Outcome
from worker.errors import BankError
from worker.jobs.attempt import depart, log_partner
from worker.jobs.context import AttemptContext
from worker.jobs.departure import Departure
from worker.store.operators.audits import Audit, AuditCandidate, AuditVerdict
from worker.telemetry.log import get_logger

log = get_logger(__name__)

GONE = frozenset({Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.EXPIRED, Outcome.LAPSED})
"""Outcomes of a token that can no longer be paid."""
AUDITED = sorted(GONE | {Outcome.PAID})
"""Outcomes that say what became of the token. The others leave it open."""
UNTOUCHED = "nothing was sent to cancel it, and the job is as it was"
"""What an audit that finds drift has done about it."""
GATE_TIMEOUT = timedelta(seconds=10)
"""The longest wait for a partner's gate that other calls keep closed."""
GATE_PAUSE = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What one audit found: our outcome, the bank's answer, and the verdict."""

    partner_txn_uid: str
    held: Outcome
    verdict: AuditVerdict
    heard: str
    token_status: str | None
    detail: str


def judge(held: Outcome, decision: Decision) -> AuditVerdict:
    """
    Say whether the bank contradicts our outcome. Pure.

    A cancelled token may be reported as expired later, and the other way round: neither can be
    paid.
    """
    if decision.heard == PAYABLE:
        return AuditVerdict.DRIFTS
    if decision.outcome not in AUDITED:
        return AuditVerdict.UNHEARD
    agree = (decision.outcome in GONE) == (held in GONE)
    return AuditVerdict.AGREES if agree else AuditVerdict.DRIFTS


def audit(
    sampled: AuditCandidate, context: AttemptContext, *, now: Callable[[], float] = time.monotonic
) -> AuditResult:
    """
    Ask the bank once about a final job, when its partner's gate admits the call.

    No call is made while the partner rests or the bank is in maintenance. Raises
    `StoreUnavailable`.
    """
    partner = context.roster().get(sampled.request.partner_id)
    if partner is None or partner.inquiry_url is None:
        return _not_asked(sampled, "the partner has no inquiry URL here any more")
    begun = _enter(sampled, partner, context, now)
    if isinstance(begun, str):
        return _not_asked(sampled, begun)
    return _ask(sampled, partner, begun, context)


def _enter(
    sampled: AuditCandidate, partner: Partner, context: AttemptContext, now: Callable[[], float]
) -> Audit | str:
    """Pass the gate, or return the reason why it stays closed."""
    audits, started = context.store.audits, now()
    while not context.closed():
        begun = audits.begin(sampled, partner, lease=context.lease)
        if begun is not None:
            return begun
        rests = audits.rest_reason(partner.partner_id)
        if rests is not None:
            return f"the partner rests: {rests}"
        if now() - started >= GATE_TIMEOUT.total_seconds():
            return "other calls of the partner leave no room"
        context.sleep(GATE_PAUSE.total_seconds())
    return "the bank is in maintenance"


def _ask(
    sampled: AuditCandidate, partner: Partner, begun: Audit, context: AttemptContext
) -> AuditResult:
    claim, started = begun.claim, context.monotonic()
    departure = depart(claim, partner, context)
    before = context.monotonic()
    left = context.lease - timedelta(seconds=before - started)
    heard = _inquire(partner, begun, context, departure=departure, left=left)
    duration = timedelta(seconds=context.monotonic() - before)
    # The answer alone: nothing follows from it, neither another call nor a wait.
    decision = judge_answer(heard, claim.on_the_wire, context.policy.dialect)
    verdict = judge(sampled.held, decision)
    if verdict is AuditVerdict.DRIFTS:
        decision = replace(decision, reason=f"{decision.reason}; {UNTOUCHED}")
    evidence = Evidence(
        wire_uid=claim.on_the_wire.partner_txn_uid,
        duration=duration,
        answer=heard if isinstance(heard, Answer) else None,
        credentials=partner.credentials,
    )
    context.store.audits.end(begun, verdict, decision, evidence)
    _log_drift(sampled, verdict, decision)
    return AuditResult(
        sampled.request.partner_txn_uid,
        sampled.held,
        verdict,
        decision.heard,
        decision.token_status,
        decision.reason,
    )


def _inquire(
    partner: Partner,
    begun: Audit,
    context: AttemptContext,
    *,
    departure: Departure | None,
    left: timedelta,
) -> Answer | BankError:
    request = begun.claim.on_the_wire
    timeout = min(context.deadline, left)
    try:
        # The claim is an inquiry, but its type does not say so.
        inquiry = InquiryRequest(
            request.partner_txn_uid, request.partner_id, request.token_id, request.reference1
        )
        return context.bank.inquire(partner, inquiry, timeout=timeout, leaving=departure)
    except BankError as error:
        return error


def _not_asked(sampled: AuditCandidate, detail: str) -> AuditResult:
    uid = sampled.request.partner_txn_uid
    return AuditResult(uid, sampled.held, AuditVerdict.UNHEARD, "not_asked", None, detail)


def _log_drift(sampled: AuditCandidate, verdict: AuditVerdict, decision: Decision) -> None:
    uid, held = sampled.request.partner_txn_uid, str(sampled.held)
    if verdict is AuditVerdict.DRIFTS:
        log.error("drift", partner_txn_uid=uid, held=held, heard=decision.heard)
    log_partner(sampled.request.partner_id, decision)

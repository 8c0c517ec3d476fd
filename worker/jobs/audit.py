"""
An audit: the bank is asked again about a job that is final, and its answer compared with ours.

It changes no job. What contradicts an outcome that the order system has acted on is drift, and
a person's to look into.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from worker.domain.claims import Evidence
from worker.domain.decision import Case, Decision
from worker.domain.judgement import PAYABLE, decide_inquiry
from worker.domain.kplus import Answer, InquiryRequest
from worker.domain.partners import Partner
from worker.domain.states import Outcome
from worker.errors import BankError
from worker.jobs.attempt import AttemptContext
from worker.store.operators.audits import Audit, AuditCandidate, AuditVerdict
from worker.telemetry.log import get_logger

log = get_logger(__name__)

GONE = frozenset({Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.EXPIRED, Outcome.LAPSED})
"""What we hold of a token that nobody can pay any more."""
AUDITED = sorted(GONE | {Outcome.PAID})
"""Outcomes that say something of the token; the others say that nobody knows."""
PATIENCE = timedelta(seconds=10)
"""The longest wait for a partner's gate that is closed by other calls."""
PAUSE = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What one audit found: what we hold, what the bank said, and what that means."""

    partner_txn_uid: str
    held: Outcome
    verdict: AuditVerdict
    heard: str
    token_status: str | None
    detail: str


def judge(held: Outcome, decision: Decision) -> AuditVerdict:
    """
    Say whether the bank contradicts us. Pure.

    A token that was cancelled may be called expired later, and the other way round: nobody
    can pay either.
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
    Ask the bank once about a final job, when its partner's gate lets the call in.

    A partner that rests, or a bank in maintenance, is not asked. Raises `StoreUnavailable`.
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
    """Pass the gate, or return why it stays closed."""
    audits, started = context.store.audits, now()
    while not context.closed():
        begun = audits.begin(sampled, partner, lease=context.lease)
        if begun is not None:
            return begun
        rests = audits.rest_reason(partner.partner_id)
        if rests is not None:
            return f"the partner rests: {rests}"
        if now() - started >= PATIENCE.total_seconds():
            return "other calls of the partner leave no room"
        context.sleep(PAUSE.total_seconds())
    return "the bank is in maintenance"


def _ask(
    sampled: AuditCandidate, partner: Partner, begun: Audit, context: AttemptContext
) -> AuditResult:
    claim = begun.claim
    if claim.wait:
        context.sleep(claim.wait.total_seconds())
    before = context.monotonic()
    heard = _inquire(partner, begun, context)
    took = timedelta(seconds=context.monotonic() - before)
    at = claim.started_at + took
    case = Case(
        request=claim.on_the_wire,
        attempts=claim.attempts,
        doubted=True,
        created_at=at,  # an audit has no age, and no limits
        expires_at=None,
        at=at,
        chance=context.chance(),
        inquiries=0,
    )
    decision = decide_inquiry(heard, case, context.policy)
    verdict = judge(sampled.held, decision)
    evidence = Evidence(
        wire_uid=claim.on_the_wire.partner_txn_uid,
        duration=took,
        answer=heard if isinstance(heard, Answer) else None,
        credentials=partner.credentials,
    )
    context.store.audits.end(begun, verdict, decision, evidence)
    _tell(sampled, verdict, decision)
    return AuditResult(
        sampled.request.partner_txn_uid,
        sampled.held,
        verdict,
        decision.heard,
        decision.token_status,
        decision.reason,
    )


def _inquire(partner: Partner, begun: Audit, context: AttemptContext) -> Answer | BankError:
    request = begun.claim.on_the_wire
    within = min(context.deadline, context.lease - begun.claim.wait)
    try:
        # By its kind it is an inquiry; the claim's type does not say so.
        inquiry = InquiryRequest(
            request.partner_txn_uid, request.partner_id, request.token_id, request.reference1
        )
        return context.bank.inquire(partner, inquiry, within=within)
    except BankError as error:
        return error


def _not_asked(sampled: AuditCandidate, why: str) -> AuditResult:
    uid = sampled.request.partner_txn_uid
    return AuditResult(uid, sampled.held, AuditVerdict.UNHEARD, "not_asked", None, why)


def _tell(sampled: AuditCandidate, verdict: AuditVerdict, decision: Decision) -> None:
    uid, held = sampled.request.partner_txn_uid, str(sampled.held)
    if verdict is AuditVerdict.DRIFTS:
        log.error("drift", partner_txn_uid=uid, held=held, heard=decision.heard)
    if decision.pause is not None:
        log.error("partner_paused", partner_id=sampled.request.partner_id, reason=decision.pause)

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
from worker.jobs.attempt import Means
from worker.store.operators.audits import Audit, Sampled, Verdict
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
class Finding:
    """What one audit found: what we hold, what the bank said, and what that means."""

    partner_txn_uid: str
    held: Outcome
    verdict: Verdict
    heard: str
    token_status: str | None
    detail: str


def judge(held: Outcome, decision: Decision) -> Verdict:
    """
    Say whether the bank contradicts us. Pure.

    A token that was cancelled may be called expired later, and the other way round: nobody
    can pay either.
    """
    if decision.heard == PAYABLE:
        return Verdict.DRIFTS
    if decision.outcome not in AUDITED:
        return Verdict.UNHEARD
    agree = (decision.outcome in GONE) == (held in GONE)
    return Verdict.AGREES if agree else Verdict.DRIFTS


def audit(sampled: Sampled, means: Means, *, now: Callable[[], float] = time.monotonic) -> Finding:
    """
    Ask the bank once about a final job, when its partner's gate lets the call in.

    A partner that rests, or a bank in maintenance, is not asked. Raises `StoreUnavailable`.
    """
    partner = means.roster().get(sampled.request.partner_id)
    if partner is None or partner.inquiry_url is None:
        return _not_asked(sampled, "the partner has no inquiry URL here any more")
    begun = _enter(sampled, partner, means, now)
    if isinstance(begun, str):
        return _not_asked(sampled, begun)
    return _ask(sampled, partner, begun, means)


def _enter(
    sampled: Sampled, partner: Partner, means: Means, now: Callable[[], float]
) -> Audit | str:
    """Pass the gate, or return why it stays closed."""
    audits, started = means.store.audits, now()
    while not means.closed():
        begun = audits.begin(sampled, partner, lease=means.lease)
        if begun is not None:
            return begun
        rests = audits.why_it_rests(partner.partner_id)
        if rests is not None:
            return f"the partner rests: {rests}"
        if now() - started >= PATIENCE.total_seconds():
            return "other calls of the partner leave no room"
        means.sleep(PAUSE.total_seconds())
    return "the bank is in maintenance"


def _ask(sampled: Sampled, partner: Partner, begun: Audit, means: Means) -> Finding:
    claim = begun.claim
    if claim.wait:
        means.sleep(claim.wait.total_seconds())
    before = means.monotonic()
    heard = _inquire(partner, begun, means)
    took = timedelta(seconds=means.monotonic() - before)
    at = claim.started_at + took
    case = Case(
        request=claim.on_the_wire,
        attempts=claim.attempts,
        doubted=True,
        created_at=at,  # an audit has no age, and no limits
        expires_at=None,
        at=at,
        chance=means.chance(),
        inquiries=0,
    )
    decision = decide_inquiry(heard, case, means.policy)
    verdict = judge(sampled.held, decision)
    evidence = Evidence(
        wire_uid=claim.on_the_wire.partner_txn_uid,
        duration=took,
        answer=heard if isinstance(heard, Answer) else None,
        credentials=partner.credentials,
    )
    means.store.audits.end(begun, verdict, decision, evidence)
    _tell(sampled, verdict, decision)
    return Finding(
        sampled.request.partner_txn_uid,
        sampled.held,
        verdict,
        decision.heard,
        decision.token_status,
        decision.reason,
    )


def _inquire(partner: Partner, begun: Audit, means: Means) -> Answer | BankError:
    request = begun.claim.on_the_wire
    within = min(means.deadline, means.lease - begun.claim.wait)
    try:
        # By its kind it is an inquiry; the claim's type does not say so.
        inquiry = InquiryRequest(
            request.partner_txn_uid, request.partner_id, request.token_id, request.reference1
        )
        return means.bank.inquire(partner, inquiry, within=within)
    except BankError as error:
        return error


def _not_asked(sampled: Sampled, why: str) -> Finding:
    uid = sampled.request.partner_txn_uid
    return Finding(uid, sampled.held, Verdict.UNHEARD, "not_asked", None, why)


def _tell(sampled: Sampled, verdict: Verdict, decision: Decision) -> None:
    uid, held = sampled.request.partner_txn_uid, str(sampled.held)
    if verdict is Verdict.DRIFTS:
        log.error("drift", partner_txn_uid=uid, held=held, heard=decision.heard)
    if decision.pause is not None:
        log.error("partner_paused", partner_id=sampled.request.partner_id, reason=decision.pause)

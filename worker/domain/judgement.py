"""
The judgement: what one conversation with the bank means for its job.

Pure: no clock, no chance, no database, no network. Whatever is not clearly a yes or
a no leaves the job in doubt; doubt is never turned into success or refusal here.
"""

from dataclasses import replace

from worker.domain.decision import Case, Decision, Policy
from worker.domain.dialect import CodeVerdict, Dialect, StatusVerdict
from worker.domain.kplus import LONGEST_WORD, SUCCESS, Answer, CancelRequest, Envelope
from worker.domain.limits import before_expiry, last_word, limit_reached
from worker.domain.states import Event, Outcome
from worker.errors import (
    BankError,
    BankUnreachable,
    BankUntrusted,
    CallMisconfigured,
    CallNotMade,
    CertificateRefused,
)

LATER_STATUSES = frozenset({408, 425, 429, 503})
OUR_STATUSES = frozenset({401, 403, 404, 405}) | frozenset(range(300, 400))
CREDENTIAL_STATUSES = frozenset({401, 403})
TOO_MANY_REQUESTS = 429
SERVER_ERRORS = 500

PAYABLE = "payable"
"""What is heard of a token that can still be paid."""
LEASE_ENDED = "lease_ended"
"""What is heard of a conversation whose worker fell silent."""


def decide(heard: Answer | BankError, case: Case, policy: Policy) -> Decision:
    """Judge one attempt: total over every answer and every fault."""
    decision = _after_doubt(judge(heard, case.request, policy.dialect), case)
    return _after_attempt(decision, case, policy)


def decide_inquiry(heard: Answer | BankError, case: Case, policy: Policy) -> Decision:
    """
    Judge one inquiry: what became of the token of a job in doubt, or past its expiry.

    A clear answer ends the job: the token is gone, paid, expired; or it is still payable
    and to be cancelled again. Anything else, a refusal included, leaves the job as it was.
    An inquiry is no attempt, so only age and expiry can end the asking; past the expiry, one
    that reached the bank is the last. A token that the bank calls payable even then has
    another expiry than we were told: its cancel goes on.
    """
    judged = judge(heard, case.request, policy.dialect)
    decision = replace(judged, spent=False)
    if decision.heard == PAYABLE:
        reason = f"{decision.reason}: the cancel took no effect, so it is sent again"
        retry = replace(decision, event=Event.RETRY, reason=reason)
        return _within_limits(retry, case, policy, attempts=case.attempts, at_expiry=False)
    if decision.outcome is Outcome.REFUSED or decision.event is Event.RETRY:
        reason = f"{decision.reason}; the inquiry settles nothing"
        decision = replace(decision, reason=reason, outcome=None)
    if decision.outcome is None:
        decision = replace(decision, event=_as_before(case))
    if not judged.spent:
        return _waiting(decision, case, policy)
    return _within_limits(decision, case, policy, attempts=0)


def abandon(case: Case, policy: Policy, *, inquiry: bool = False) -> Decision:
    """Judge a conversation whose worker fell silent: it may have reached the bank."""
    reason = "the worker fell silent: its lease ended and it may have reached the bank"
    decision = _doubt(LEASE_ENDED, reason)
    if not inquiry:
        return _after_attempt(decision, case, policy)
    # Perhaps it was never made: it is made again, even past the expiry.
    decision = replace(decision, event=_as_before(case), spent=False)
    return _within_limits(decision, case, policy, attempts=0, at_expiry=False)


def _as_before(case: Case) -> Event:
    """Return the event that leaves a job as its inquiry found it: asking puts nothing in doubt."""
    return Event.DOUBT if case.doubted else Event.RETRY


def _after_attempt(decision: Decision, case: Case, policy: Policy) -> Decision:
    """Set the wait of the next conversation, or end a job that may hold none."""
    if not decision.spent:
        return _waiting(decision, case, policy)
    can_ask = case.inquiries is not None
    attempts = 0 if can_ask and decision.event is Event.DOUBT else case.attempts
    return _within_limits(decision, case, policy, attempts=attempts, at_expiry=not can_ask)


def judge(heard: Answer | BankError, request: CancelRequest, dialect: Dialect) -> Decision:
    """Read one conversation by itself: without the job's past, without its limits."""
    if isinstance(heard, BankError):
        decision = _of_fault(heard)
    else:
        # Whatever else it said: a bank that names a time wants to be left alone until then.
        decision = replace(_of_answer(heard, request, dialect), advice=heard.retry_after)
    if decision.pause is not None:
        return decision
    throttled = isinstance(heard, Answer) and heard.http_status == TOO_MANY_REQUESTS
    proves = _spoke_of_the_token(decision) and not throttled
    return replace(decision, strain=_strains(heard), throttled=throttled, proves=proves)


def _spoke_of_the_token(decision: Decision) -> bool:
    """Say whether the bank knew us: it answered in words that we understand."""
    return decision.outcome is not None or decision.heard in {PAYABLE, CodeVerdict.DUPLICATE}


def _strains(heard: Answer | BankError) -> bool:
    """Say whether the bank failed, rather than the token or this process."""
    if isinstance(heard, BankError):
        return not isinstance(heard, CallNotMade)
    return heard.http_status >= SERVER_ERRORS


def _of_fault(fault: BankError) -> Decision:
    if isinstance(fault, BankUntrusted | CertificateRefused | CallMisconfigured):
        return _ours(fault.fault, str(fault))
    if isinstance(fault, CallNotMade):
        return Decision(Event.RETRY, fault.fault, f"no call was made: {fault}", spent=False)
    if isinstance(fault, BankUnreachable):
        return Decision(Event.RETRY, fault.fault, f"nothing was sent: {fault}")
    return _doubt(fault.fault, f"the bank may have acted: {fault}")


def _of_answer(answer: Answer, request: CancelRequest, dialect: Dialect) -> Decision:
    """Read the body first: the HTTP status alone decides nothing about the token."""
    envelope = answer.envelope
    if envelope is None:
        return _of_http_status(answer, answer.flaw)
    decision = _of_envelope(answer, envelope, request, dialect)
    written = [text for entry in envelope.ours(request) if (text := entry.written()) is not None]
    return replace(decision, token_status=",".join(written)[:LONGEST_WORD] if written else None)


def _of_http_status(answer: Answer, why: str) -> Decision:
    status, word = answer.http_status, f"http_{answer.http_status}"
    if status in LATER_STATUSES:
        return _later(answer, word, f"HTTP {status}: {why}")
    if status in OUR_STATUSES:
        return _ours(word, f"HTTP {status} speaks about us, not about the token: {why}")
    word = "unreadable" if status < 400 else word  # noqa: PLR2004 - where HTTP errors begin
    return _doubt(word, f"HTTP {status}: {why}")


def _of_envelope(
    answer: Answer, envelope: Envelope, request: CancelRequest, dialect: Dialect
) -> Decision:
    foreign = envelope.foreign_ids(request)
    if foreign:
        return _doubt("foreign_echo", f"the answer's {' and '.join(foreign)} is not ours")
    if envelope.status_code == SUCCESS:
        return _of_success(answer, envelope, request, dialect)
    return _of_code(answer, envelope, request, dialect)


def _of_success(
    answer: Answer, envelope: Envelope, request: CancelRequest, dialect: Dialect
) -> Decision:
    """Believe a success only where nothing in the answer contradicts it."""
    against = _contradiction(answer, envelope, dialect)
    if against:
        return _doubt("contradiction", f"statusCode 00 {against}")
    missing = envelope.missing_ids()
    if missing:
        return _doubt("no_echo", f"the answer does not echo {' and '.join(missing)}")
    entries = envelope.ours(request)
    if not entries:
        return _doubt("token_missing", "statusCode 00, but our token is not in tokenList")
    if not all(entry.status for entry in entries):
        return _doubt("status_missing", "statusCode 00, but our token has no status")
    words = envelope.words(request)
    return _of_statuses(", ".join(words), dialect.status(words))


def _contradiction(answer: Answer, envelope: Envelope, dialect: Dialect) -> str:
    """Return what in a success speaks against it, or an empty string."""
    if not 200 <= answer.http_status < 300:  # noqa: PLR2004 - the range of success
        return f"under HTTP {answer.http_status}"
    if envelope.error_code is not None:
        return f"with errorCode {envelope.error_code}"
    if dialect.codes(None, envelope.short_code):
        return f"with the short code {envelope.short_code}"
    return ""


_FINAL_STATUSES = {
    StatusVerdict.CANCELLED: (Event.SUCCEED, Outcome.CANCELLED),
    StatusVerdict.EXPIRED: (Event.SUCCEED, Outcome.EXPIRED),
    StatusVerdict.PAID: (Event.REFUSE, Outcome.PAID),
}


def _of_statuses(said: str, verdicts: set[StatusVerdict | None]) -> Decision:
    if None in verdicts:
        return _doubt("unknown_status", f"token status {said} is not in the dialect")
    if len(verdicts) > 1:
        return _doubt("contradiction", f"the token statuses {said} contradict each other")
    (verdict,) = verdicts
    if verdict in _FINAL_STATUSES:
        return _final(*_FINAL_STATUSES[verdict], f"token status {said}")
    word = PAYABLE if verdict is StatusVerdict.PAYABLE else "not_cancelled"
    return _doubt(word, f"statusCode 00, but token status {said}")


# The last word is the token status that says the same; any other clear one contradicts.
_FINAL_CODES = {
    CodeVerdict.ALREADY_CANCELLED: (
        Event.SUCCEED,
        Outcome.ALREADY_CANCELLED,
        StatusVerdict.CANCELLED,
    ),
    CodeVerdict.EXPIRED: (Event.SUCCEED, Outcome.EXPIRED, StatusVerdict.EXPIRED),
    CodeVerdict.PAID: (Event.REFUSE, Outcome.PAID, StatusVerdict.PAID),
    CodeVerdict.REFUSED: (Event.REFUSE, Outcome.REFUSED, StatusVerdict.PAYABLE),
}
_OPEN_CODES = {
    CodeVerdict.DUPLICATE: "the bank has seen this partnerTxnUid",
    CodeVerdict.DOUBT: "it does not say whether the bank acted",
}


def _of_code(
    answer: Answer, envelope: Envelope, request: CancelRequest, dialect: Dialect
) -> Decision:
    code, short = envelope.error_code, envelope.short_code
    said = f"errorCode {code}" + (f" ({short})" if short else "")
    verdicts = dialect.codes(code, short)
    if not verdicts:
        return _of_unknown_code(answer, said)
    if len(verdicts) > 1:
        return _doubt("contradiction", f"{said}: the dialect gives the two codes two meanings")
    (verdict,) = verdicts
    if verdict in _OPEN_CODES:
        return _doubt(str(verdict), f"{said}: {_OPEN_CODES[verdict]}")
    if verdict is CodeVerdict.LATER:
        return _later(answer, "later", said)
    turned_away = answer.http_status in CREDENTIAL_STATUSES
    if verdict is CodeVerdict.OURS or (verdict is CodeVerdict.REFUSED and turned_away):
        return _ours("ours", f"HTTP {answer.http_status}: {said}")
    return _of_final_code(verdict, said, dialect.status(envelope.words(request)))


def _of_final_code(verdict: CodeVerdict, said: str, told: set[StatusVerdict | None]) -> Decision:
    """Believe a code only where the token, if the answer lists it, does not say otherwise."""
    event, outcome, agreeing = _FINAL_CODES[verdict]
    if told - {agreeing, StatusVerdict.DOUBT, None}:
        return _doubt("contradiction", f"{said}, but the listed token has another status")
    return _final(event, outcome, said)


def _of_unknown_code(answer: Answer, said: str) -> Decision:
    """
    Judge a code that is not in the dialect: doubt, unless HTTP itself says more.

    A 404 around a readable envelope may speak about the token, so it pauses nobody.
    """
    said = f"{said} is not in the dialect"
    if answer.http_status in LATER_STATUSES:
        return _later(answer, "unknown_code", f"HTTP {answer.http_status}: {said}")
    if answer.http_status in CREDENTIAL_STATUSES:
        return _ours("unknown_code", f"HTTP {answer.http_status}: {said}")
    return _doubt("unknown_code", said)


def _final(event: Event, outcome: Outcome, reason: str) -> Decision:
    return Decision(event, str(outcome), reason, outcome=outcome)


def _doubt(heard: str, reason: str) -> Decision:
    return Decision(Event.DOUBT, heard, reason)


def _later(answer: Answer, heard: str, reason: str) -> Decision:
    """A rate limit (RFC 6585 section 4) is not the job's failure: it spends no attempt."""
    spent = answer.http_status != TOO_MANY_REQUESTS
    return Decision(Event.RETRY, heard, reason, spent=spent)


def _ours(heard: str, reason: str) -> Decision:
    return Decision(Event.RETRY, heard, reason, spent=False, pause=reason)


def _after_doubt(decision: Decision, case: Case) -> Decision:
    """After doubt a refusal may mean "cancelled already", by our own lost attempt."""
    if case.doubted and decision.outcome is Outcome.REFUSED:
        reason = f"{decision.reason}; not believed, since an earlier attempt ended in doubt"
        return Decision(Event.DOUBT, decision.heard, reason, token_status=decision.token_status)
    return decision


def _within_limits(
    decision: Decision, case: Case, policy: Policy, *, attempts: int, at_expiry: bool = True
) -> Decision:
    """End a job that may not try again, or set the wait of its next try."""
    if decision.outcome is not None:
        return decision
    over = limit_reached(case, policy, attempts=attempts, at_expiry=at_expiry)
    if not over:
        return _waiting(decision, case, policy)
    doubted = case.doubted or decision.event is Event.DOUBT
    outcome = last_word(doubted=doubted, expires_at=case.expires_at, at=case.at)
    reason = f"{decision.reason}; {over}"
    return replace(decision, event=Event.EXHAUST, outcome=outcome, reason=reason)


def _waiting(decision: Decision, case: Case, policy: Policy) -> Decision:
    """Set the wait. Doubt that can be settled by an inquiry has a schedule of its own."""
    backoff, tries = policy.backoff, case.attempts
    if decision.event is Event.DOUBT and case.inquiries is not None:
        backoff, tries = policy.inquiry_backoff, case.inquiries + 1
    wait = backoff.wait(tries, chance=lambda: case.chance, advice=decision.advice)
    # The bank's own time outranks even the expiry: it would not hear us before.
    return replace(decision, wait=wait if decision.advice else before_expiry(wait, case))

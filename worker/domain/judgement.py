"""
The judgement: what one conversation with the bank means for its job.

Pure: no clock, no random numbers, no database, no network. Whatever is not clearly a yes or
a no leaves the job in doubt; doubt is never turned into success or refusal here.
"""

from dataclasses import replace

from worker.domain.advice import advised
from worker.domain.answer import Answer
from worker.domain.bank_clock import clock_note
from worker.domain.decision import Case, Decision, Policy
from worker.domain.dialect import CodeVerdict, Dialect, StatusVerdict
from worker.domain.http_answers import RETRY_STATUSES, TOO_MANY_REQUESTS, judge_http_status
from worker.domain.kplus import MAX_TEXT_LENGTH, SUCCESS, CancelRequest, Envelope
from worker.domain.limits import within_limits
from worker.domain.states import Event, Outcome
from worker.errors import (
    BankError,
    BankUnreachable,
    BankUntrusted,
    CallMisconfigured,
    CallNotMade,
    CertificateRefused,
)

CREDENTIAL_STATUSES = frozenset({401, 403})
SERVER_ERRORS = 500

PAYABLE = "payable"
"""The word in `heard` for a token that can still be paid."""
UNKNOWN_WORDS = frozenset({"unknown_code", "unknown_status"})
"""The words in `heard` for an answer with a word that the dialect does not know."""
FOREIGN_ECHO = "foreign_echo"
"""The word in `heard` for an answer with other ids than ours."""
LEASE_ENDED = "lease_ended"
"""The word in `heard` for a conversation whose worker did not report before its lease ended."""
SPOKE_OF_THE_TOKEN = frozenset({"refused", "not_cancelled", "unknown_status"})
"""The words in `heard` for what the bank said of the token without saying what became of it."""


def decide(result: Answer | BankError, case: Case, policy: Policy) -> Decision:
    """Judge one attempt. Total: every answer and every fault has a decision."""
    return _after_attempt(_after_doubt(_judge_now(result, case, policy), case), case, policy)


def decide_inquiry(result: Answer | BankError, case: Case, policy: Policy) -> Decision:
    """
    Judge one inquiry: the state of the token of a job in doubt, or past its expiry.

    A clear answer ends the job if the token is cancelled, paid or expired; a token that is
    still payable is cancelled again. Anything else, a refusal included, leaves the job as it
    was. An inquiry is no attempt: only age ends the inquiries, and past the expiry the first
    answer that speaks of the token. Silence, and a bank that is busy, end nothing. If the bank
    calls a token payable even then, the order's expiry was wrong: the cancel goes on.
    """
    judged = _judge_now(result, case, policy)
    decision = replace(judged, spent=False)
    if decision.heard == PAYABLE:
        reason = f"{decision.reason}: the cancel took no effect, so it is sent again"
        retry = replace(decision, event=Event.RETRY, reason=reason)
        # The next conversation is a cancel: its wait grows with the attempts.
        cancels = replace(case, inquiries=None)
        return within_limits(retry, cancels, policy, attempts=case.attempts, at_expiry=False)
    if decision.outcome is Outcome.REFUSED or decision.event is Event.RETRY:
        reason = f"{decision.reason}; the inquiry settles nothing"
        decision = replace(decision, reason=reason, outcome=None)
    if decision.outcome is None:
        decision = replace(decision, event=_unchanged(case))
    speaks = judged.heard in SPOKE_OF_THE_TOKEN
    return within_limits(decision, case, policy, attempts=0, at_expiry=speaks)


def decide_lease_ended(case: Case, policy: Policy, *, inquiry: bool = False) -> Decision:
    """Judge a conversation whose worker never reported: it may have reached the bank."""
    reason = "the worker fell silent: its lease ended and it may have reached the bank"
    decision = _doubt(LEASE_ENDED, reason)
    if not inquiry:
        return _after_attempt(decision, case, policy)
    # The inquiry may never have been sent: it is repeated, even past the expiry.
    decision = replace(decision, event=_unchanged(case), spent=False)
    return within_limits(decision, case, policy, attempts=0, at_expiry=False)


def _judge_now(result: Answer | BankError, case: Case, policy: Policy) -> Decision:
    """Judge a conversation that has just been held, with the time that the bank named."""
    decision = judge(result, case.request, policy.dialect)
    if isinstance(result, BankError):
        return decision
    return advised(decision, result, longest=policy.max_retry_after)


def _unchanged(case: Case) -> Event:
    """Return the event that leaves a job as it was: an inquiry puts no job in doubt."""
    return Event.DOUBT if case.doubted else Event.RETRY


def _after_attempt(decision: Decision, case: Case, policy: Policy) -> Decision:
    """Set the wait before the next conversation, or end a job that may have none."""
    can_inquire = case.inquiries is not None
    counts = decision.spent and not (can_inquire and decision.event is Event.DOUBT)
    # What spent no attempt says nothing of the token: only the job's age ends it.
    at_expiry = decision.spent and not can_inquire
    attempts = case.attempts if counts else 0
    return within_limits(decision, case, policy, attempts=attempts, at_expiry=at_expiry)


def judge(result: Answer | BankError, request: CancelRequest, dialect: Dialect) -> Decision:
    """Judge one conversation by itself, without the job's history and its limits."""
    if isinstance(result, BankError):
        decision = _judge_fault(result)
    else:
        decision = _judge_answer(result, request, dialect)
    if decision.pause_reason is not None:
        return _with_clock(decision, result)
    throttled = isinstance(result, Answer) and result.http_status == TOO_MANY_REQUESTS
    failed = _bank_failed(result)
    return replace(
        decision,
        bank_failed=failed,
        throttled=throttled,
        proves_partner=_is_in_its_own_words(result, decision) and not (throttled or failed),
    )


def _with_clock(decision: Decision, result: Answer | BankError) -> Decision:
    """Say with a refusal of ours what the bank's clock says, if it may be the cause."""
    note = clock_note(result) if isinstance(result, Answer) else ""
    reason = f"{decision.reason}; {note}" if note else decision.reason
    return replace(decision, reason=reason, pause_reason=reason)


def _is_in_its_own_words(result: Answer | BankError, decision: Decision) -> bool:
    """
    Say whether the bank answered our call by an envelope: it is there, and takes our calls.

    It need not speak about the token, nor in words of the dialect. What it says against our
    credentials pauses the partner before. The answer to another call proves nothing.
    """
    is_readable = isinstance(result, Answer) and result.envelope is not None
    return is_readable and decision.heard != FOREIGN_ECHO


def _bank_failed(result: Answer | BankError) -> bool:
    """Say whether the bank failed, rather than the token or this process."""
    if isinstance(result, BankError):
        return not isinstance(result, CallNotMade)
    return result.http_status >= SERVER_ERRORS


def _judge_fault(fault: BankError) -> Decision:
    if isinstance(fault, BankUntrusted | CertificateRefused | CallMisconfigured):
        return _our_fault(fault.fault, str(fault))
    if isinstance(fault, CallNotMade):
        return Decision(Event.RETRY, fault.fault, f"no call was made: {fault}", spent=False)
    if isinstance(fault, BankUnreachable):
        return Decision(Event.RETRY, fault.fault, f"nothing was sent: {fault}")
    return _doubt(fault.fault, f"the bank may have acted: {fault}")


def _judge_answer(answer: Answer, request: CancelRequest, dialect: Dialect) -> Decision:
    """Judge the body first: the HTTP status alone decides nothing about the token."""
    envelope = answer.envelope
    if envelope is None:
        return judge_http_status(answer)
    decision = _judge_envelope(answer, envelope, request, dialect)
    every = [entry.joined_status() for entry in envelope.entries_for(request)]
    statuses = [status for status in every if status is not None]
    token_status = ",".join(statuses)[:MAX_TEXT_LENGTH] if statuses else None
    return replace(decision, token_status=token_status)


def _judge_envelope(
    answer: Answer, envelope: Envelope, request: CancelRequest, dialect: Dialect
) -> Decision:
    foreign = envelope.foreign_ids(request)
    if foreign:
        return _doubt(FOREIGN_ECHO, f"the answer's {' and '.join(foreign)} is not ours")
    if envelope.status_code == SUCCESS:
        return _judge_success(answer, envelope, request, dialect)
    return _judge_code(answer, envelope, request, dialect)


def _judge_success(
    answer: Answer, envelope: Envelope, request: CancelRequest, dialect: Dialect
) -> Decision:
    """Accept a success only if nothing in the answer contradicts it."""
    contradiction = _contradiction(answer, envelope, dialect)
    if contradiction:
        return _doubt("contradiction", f"statusCode 00 {contradiction}")
    missing = envelope.missing_ids()
    if missing:
        return _doubt("no_echo", f"the answer does not echo {' and '.join(missing)}")
    entries = envelope.entries_for(request)
    if not entries:
        return _doubt("token_missing", "statusCode 00, but our token is not in tokenList")
    if not all(entry.status for entry in entries):
        return _doubt("status_missing", "statusCode 00, but our token has no status")
    words = envelope.status_words(request)
    return _judge_statuses(", ".join(words), dialect.status(words))


def _contradiction(answer: Answer, envelope: Envelope, dialect: Dialect) -> str:
    """Return what contradicts a success, or an empty string."""
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


def _judge_statuses(words: str, verdicts: set[StatusVerdict | None]) -> Decision:
    if None in verdicts:
        return _doubt("unknown_status", f"token status {words} is not in the dialect")
    if len(verdicts) > 1:
        return _doubt("contradiction", f"the token statuses {words} contradict each other")
    (verdict,) = verdicts
    if verdict in _FINAL_STATUSES:
        return _final(*_FINAL_STATUSES[verdict], f"token status {words}")
    heard = PAYABLE if verdict is StatusVerdict.PAYABLE else "not_cancelled"
    return _doubt(heard, f"statusCode 00, but token status {words}")


# The third item is the token status with the same meaning; any other clear one contradicts.
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


def _judge_code(
    answer: Answer, envelope: Envelope, request: CancelRequest, dialect: Dialect
) -> Decision:
    code, short = envelope.error_code, envelope.short_code
    codes = f"errorCode {code}" + (f" ({short})" if short else "")
    verdicts = dialect.codes(code, short)
    if not verdicts:
        return _judge_unknown_code(answer, codes)
    if len(verdicts) > 1:
        return _doubt("contradiction", f"{codes}: the dialect gives the two codes two meanings")
    (verdict,) = verdicts
    if verdict in _OPEN_CODES:
        return _doubt(str(verdict), f"{codes}: {_OPEN_CODES[verdict]}")
    if verdict is CodeVerdict.LATER:
        return _retry(answer, "later", codes)
    unauthorized = answer.http_status in CREDENTIAL_STATUSES
    if verdict is CodeVerdict.OURS or (verdict is CodeVerdict.REFUSED and unauthorized):
        return _our_fault("ours", f"HTTP {answer.http_status}: {codes}")
    return _judge_final_code(verdict, codes, dialect.status(envelope.status_words(request)))


def _judge_final_code(
    verdict: CodeVerdict, codes: str, statuses: set[StatusVerdict | None]
) -> Decision:
    """Accept a code only if the token's status, where the answer lists it, does not contradict."""
    event, outcome, agreeing = _FINAL_CODES[verdict]
    if statuses - {agreeing, StatusVerdict.DOUBT, None}:
        return _doubt("contradiction", f"{codes}, but the listed token has another status")
    return _final(event, outcome, codes)


def _judge_unknown_code(answer: Answer, codes: str) -> Decision:
    """
    Judge a code that is not in the dialect: doubt, unless the HTTP status is clear.

    A 404 around a readable envelope may be about the token, so it pauses no partner.
    """
    reason = f"{codes} is not in the dialect"
    if answer.http_status in RETRY_STATUSES:
        return _retry(answer, "unknown_code", f"HTTP {answer.http_status}: {reason}")
    if answer.http_status in CREDENTIAL_STATUSES:
        return _our_fault("unknown_code", f"HTTP {answer.http_status}: {reason}")
    return _doubt("unknown_code", reason)


def _final(event: Event, outcome: Outcome, reason: str) -> Decision:
    return Decision(event, str(outcome), reason, outcome=outcome)


def _doubt(heard: str, reason: str) -> Decision:
    return Decision(Event.DOUBT, heard, reason)


def _retry(answer: Answer, heard: str, reason: str) -> Decision:
    """Try again later. A rate limit (RFC 6585 section 4) spends no attempt of the job."""
    spent = answer.http_status != TOO_MANY_REQUESTS
    return Decision(Event.RETRY, heard, reason, spent=spent)


def _our_fault(heard: str, reason: str) -> Decision:
    """Pause the partner; the attempt does not count."""
    return Decision(Event.RETRY, heard, reason, spent=False, pause_reason=reason)


def _after_doubt(decision: Decision, case: Case) -> Decision:
    """After doubt a refusal may mean that our own lost attempt has cancelled the token."""
    if case.doubted and decision.outcome is Outcome.REFUSED:
        reason = f"{decision.reason}; not believed, since an earlier attempt ended in doubt"
        return Decision(Event.DOUBT, decision.heard, reason, token_status=decision.token_status)
    return decision

"""What the bank's `Date` says about our clock, where the bank refuses us and that may be why."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from worker.bank.faults import FAULTS
from worker.config.dialect_file import built_in
from worker.domain.answer import Answer
from worker.domain.bank_clock import clock_note
from worker.domain.heard import NOTHING_SENT
from worker.domain.judgement import judge
from worker.domain.kplus import CancelRequest
from worker.errors import AnswerLost, CertificateRefused

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REQUEST = CancelRequest("U1", "P1", "T1", "R1")


def answered(code: str, *, ahead: float | None = None, date: str | None = None) -> Answer:
    headers = {} if date is None else {"date": date}
    if ahead is not None:
        headers["date"] = format_datetime(NOW + timedelta(seconds=ahead), usegmt=True)
    body = f'{{"statusCode": "10", "errorCode": "{code}"}}'.encode()
    return Answer.read(http_status=400, headers=headers, body=body, at=NOW)


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (312, "the bank's clock is 312 s ahead of ours"),
        (-4000, "the bank's clock is 4000 s behind ours"),
        (1, "the bank's clock agrees with ours, so it may want another form"),
        (None, "the bank sent no Date to compare our clock with"),
    ],
)
def test_a_refused_request_time_names_the_clock(ahead: float | None, words: str) -> None:
    decision = judge(answered("invalid_requestDt", ahead=ahead), REQUEST, built_in())
    assert decision.pause_reason == decision.reason
    assert decision.reason.startswith("HTTP 400: errorCode invalid_requestDt; ")
    assert decision.reason.endswith(words)


def test_any_refusal_of_ours_names_a_clock_that_is_far_off() -> None:
    """A bank may call a wrong time a wrong signature, or a bad request."""
    far = judge(answered("authentication_error", ahead=312), REQUEST, built_in())
    assert (far.pause_reason or "").endswith("the bank's clock is 312 s ahead of ours")
    near = judge(answered("authentication_error", ahead=2), REQUEST, built_in())
    assert near.pause_reason == "HTTP 400: errorCode authentication_error"


def test_an_answer_about_the_token_names_no_clock() -> None:
    decision = judge(answered("qr_paid", ahead=312), REQUEST, built_in())
    assert "clock" not in decision.reason


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 01 Mar 99999 12:00:00 GMT", "\x00"])
def test_a_date_that_cannot_be_read_is_none(date: str) -> None:
    answer = answered("invalid_requestDt", date=date)
    assert answer.bank_ahead() is None
    assert clock_note(answer) == "the bank sent no Date to compare our clock with"


def test_the_words_of_calls_that_never_left_are_those_of_their_faults() -> None:
    sent = (AnswerLost, CertificateRefused)
    never = {word for word, (branch, _) in FAULTS.items() if not issubclass(branch, sent)}
    assert never | {"unconfigured"} == NOTHING_SENT

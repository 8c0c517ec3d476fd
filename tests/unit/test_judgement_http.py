"""The judgement where HTTP or the network speaks, with or without a word of the bank."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.cases import AFTER_DOUBT, FIRST, POLICY, document, error, judge
from worker.domain.judgement import decide
from worker.domain.kplus import Answer
from worker.domain.states import Event
from worker.errors import (
    AnswerLost,
    BankError,
    BankUnreachable,
    BankUntrusted,
    CallMisconfigured,
    CallNotMade,
    CertificateRefused,
)


@pytest.mark.parametrize("http_status", [401, 403, 404, 405, 300, 301, 302, 307, 308, 399])
@pytest.mark.parametrize("body", [b"", b"<html></html>", b"{}", b"[" * 9999])
def test_a_gateway_that_turns_us_away_pauses_the_partner(http_status: int, body: bytes) -> None:
    decision = judge(body, http_status=http_status)
    assert (decision.event, decision.heard) == (Event.RETRY, f"http_{http_status}")
    assert decision.pause_reason is not None
    assert not decision.spent


@pytest.mark.parametrize("http_status", [401, 403])
@pytest.mark.parametrize("code", [None, "new_code", "invalid_reference1"])
def test_credentials_turned_away_are_no_refusal_of_the_token(
    http_status: int, code: str | None
) -> None:
    """A gateway's `invalid_…` speaks about its access token, not about the payment token."""
    decision = judge(error(code), http_status=http_status)
    assert decision.event is Event.RETRY
    assert decision.pause_reason is not None
    assert not decision.spent


@pytest.mark.parametrize("http_status", [401, 403])
@pytest.mark.parametrize("code", ["qr_paid", "qr_cancelled", "qr_expired"])
def test_what_became_of_the_token_is_believed_even_where_the_act_is_forbidden(
    http_status: int, code: str
) -> None:
    decision = judge(error(code), http_status=http_status)
    assert decision.outcome is not None
    assert decision.pause_reason is None


@pytest.mark.parametrize("http_status", [404, 405, 302])
def test_an_unknown_code_around_a_404_may_speak_about_the_token(http_status: int) -> None:
    decision = judge(error("no_such_token"), http_status=http_status)
    assert (decision.event, decision.heard) == (Event.DOUBT, "unknown_code")
    assert decision.pause_reason is None


@pytest.mark.parametrize("http_status", [408, 425, 429, 503])
@pytest.mark.parametrize("content", [b"", b"<html>busy</html>", error("new_code"), error(None)])
def test_a_bank_that_asks_for_time_is_asked_again(http_status: int, content: Any) -> None:
    decision = judge(content, http_status=http_status)
    assert decision.event is Event.RETRY
    assert decision.pause_reason is None
    assert decision.spent == (http_status != 429)


def test_a_later_by_code_under_429_spends_nothing() -> None:
    assert not judge(error("general_error"), http_status=429).spent


@pytest.mark.parametrize("http_status", [400, 402, 406, 409, 410, 413, 415, 422, 500, 502, 504])
def test_any_other_http_failure_without_a_word_of_the_bank_is_doubt(http_status: int) -> None:
    decision = judge(b"oops", http_status=http_status)
    assert (decision.event, decision.heard) == (Event.DOUBT, f"http_{http_status}")


@pytest.mark.parametrize("http_status", [-1, 0, 100, 200, 204, 299])
@pytest.mark.parametrize("body", [b"", b"[]", b'{"ok": true}', b"\xff"])
def test_an_unreadable_answer_is_doubt(http_status: int, body: bytes) -> None:
    decision = judge(body, http_status=http_status)
    assert (decision.event, decision.heard) == (Event.DOUBT, "unreadable")


def test_a_body_left_unread_is_doubt_with_its_reason() -> None:
    """Oversized and compressed bodies: the client hands on the status alone."""
    decision = decide(Answer(200, flaw="the body is compressed"), FIRST, POLICY)
    assert (decision.event, decision.heard) == (Event.DOUBT, "unreadable")
    assert "the body is compressed" in decision.reason


@pytest.mark.parametrize(
    ("fault", "event", "pauses", "strains"),
    [
        (BankUnreachable("refused", fault="connect"), Event.RETRY, False, True),
        (BankUntrusted("bad certificate", fault="tls"), Event.RETRY, True, False),
        (CertificateRefused("it has ended", fault="tls_refused"), Event.RETRY, True, False),
        (CallMisconfigured("no secret", fault="unconfigured"), Event.RETRY, True, False),
        (AnswerLost("timed out", fault="read_timeout"), Event.DOUBT, False, True),
        (BankError("odd", fault="odd"), Event.DOUBT, False, True),
    ],
)
def test_a_fault_is_judged_by_whether_anything_was_sent(
    *, fault: BankError, event: Event, pauses: bool, strains: bool
) -> None:
    for case in (FIRST, AFTER_DOUBT):
        decision = decide(fault, case, POLICY)
        assert decision.event is event
        assert decision.heard == fault.fault
        assert str(fault) in decision.reason
        assert (decision.pause_reason is not None) == pauses
        assert decision.spent != pauses
        assert decision.bank_failed == strains


@pytest.mark.parametrize(("http_status", "strains"), [(200, False), (499, False), (500, True)])
def test_a_server_error_strains_the_partner(*, http_status: int, strains: bool) -> None:
    assert judge(b"", http_status=http_status).bank_failed == strains
    assert judge(error("new_code"), http_status=http_status).bank_failed == strains


@pytest.mark.parametrize("http_status", [429, 500, 502, 503])
def test_a_bank_that_names_a_time_is_left_alone_until_then(http_status: int) -> None:
    """In doubt as well: the bank asked for time, whatever became of the token."""
    advice = timedelta(minutes=10)
    decision = decide(Answer(http_status, flaw="a page", retry_after=advice), FIRST, POLICY)
    assert decision.wait is not None
    assert decision.wait >= advice


def test_a_call_that_this_process_did_not_make_costs_nobody_anything() -> None:
    """A busy or stopping worker is no fault of the bank's, and no attempt of the job's."""
    decision = decide(CallNotMade("no time was left", fault="no_time_left"), FIRST, POLICY)
    assert decision.event is Event.RETRY
    assert not decision.spent
    assert not decision.bank_failed
    assert decision.pause_reason is None


@pytest.mark.parametrize(
    "content",
    [
        document(),
        document(tokenList=[]),
        error("qr_paid"),
        error("invalid_reference1"),
        error("duplicate_request"),
        error("general_error"),
        error("never_heard_of"),
    ],
)
def test_a_bank_that_answered_in_its_own_words_has_proved_itself(content: Any) -> None:
    """Whatever it says of the token, and whether or not anybody has taught us the word."""
    assert judge(content).proves_partner


@pytest.mark.parametrize(
    ("content", "http_status"),
    [
        (b"<html>", 200),
        (b"", 500),
        (b"", 429),
        (document(), 429),
        (document(), 503),
        (error("authentication_error"), 200),
        (error("never_heard_of"), 401),
        (document(partnerTxnUid="ANOTHER"), 200),
    ],
)
def test_an_answer_that_may_come_from_anybody_or_speaks_against_us_proves_nothing(
    content: Any, http_status: int
) -> None:
    assert not judge(content, http_status=http_status).proves_partner


def test_only_a_429_says_that_the_calls_are_too_many() -> None:
    assert judge(b"", http_status=429).throttled
    assert judge(document(), http_status=429).throttled
    assert not judge(b"", http_status=503).throttled
    assert not judge(document()).throttled

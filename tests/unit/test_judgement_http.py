"""The judgement where HTTP or the network speaks, with or without a word of the bank."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.cases import AFTER_DOUBT, FIRST, POLICY, answer, document, error, judge
from worker.domain.answer import Answer
from worker.domain.judgement import decide, decide_inquiry
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

WITHOUT_AN_ENVELOPE = [b"", b"<html></html>", b"{}", b"[" * 9999, b'{"message": "Forbidden"}']


@pytest.mark.parametrize(
    "http_status", [403, 404, 405, 407, 421, 451, 511, 300, 301, 302, 307, 308, 399]
)
@pytest.mark.parametrize("body", [*WITHOUT_AN_ENVELOPE, "statusCode"])
def test_a_gateway_that_turns_us_away_lets_the_partner_rest(
    http_status: int, body: bytes | str
) -> None:
    """A page of a WAF and a maintenance redirect pass by themselves."""
    if isinstance(body, str):  # as API gateways write it
        body = json.dumps({body: http_status, "message": "Forbidden"}).encode()
    decision = judge(body, http_status=http_status)
    assert (decision.event, decision.heard) == (Event.RETRY, f"http_{http_status}")
    assert decision.turned_away
    assert decision.pause_reason is None
    assert not decision.spent
    for word in (f"HTTP {http_status}", "maintenance", "WAF", "allow-list", "URL"):
        assert word in decision.reason


@pytest.mark.parametrize("body", WITHOUT_AN_ENVELOPE)
def test_credentials_that_are_turned_away_pause_the_partner(body: bytes) -> None:
    decision = judge(body, http_status=401)
    assert decision.pause_reason is not None
    assert not decision.turned_away
    assert not decision.spent


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://bank.example/maintenance", "https://bank.example/maintenance"),
        ("https://u:s3cret@bank.example:8443/login?token=s3cret#s3cret", "bank.example:8443/login"),
        ("/error;jsessionid=s3cret/page?s3cret", "/error/page"),
        ("//u:s3cret@bank.example/x", "//bank.example/x"),
        ("https:u:s3cret@bank.example/x", "bank.example/x"),
        ("https:\\\\u:s3cret@bank.example/x", "bank.example/x"),
        ("https://[s3cret", "an address that cannot be read"),
        ("/" + "x" * 5000, "/" + "x" * 119),
        ("/\x1b[31m", "/?[31m"),
    ],
)
def test_where_a_redirect_leads_is_told_without_what_is_secret(location: str, shown: str) -> None:
    told = answer(b"", http_status=302, headers={"location": location})
    reason = decide(told, FIRST, POLICY).reason
    assert "; it redirects to " in reason
    assert reason.endswith(shown)
    assert "s3cret" not in reason
    assert "redirects" not in decide(answer(b"", http_status=302), FIRST, POLICY).reason


def test_only_the_bank_itself_speaks_in_the_banks_envelope() -> None:
    """A status code that is the HTTP status says nothing more; with a code or an id it does."""
    assert not judge(document(statusCode=403, tokenList=None), http_status=403).turned_away
    coded = {"statusCode": 403, "errorCode": "authentication_error"}
    assert judge(coded, http_status=403).pause_reason is not None


def test_a_job_that_a_gateway_refuses_for_ever_waits_longer_each_time() -> None:
    """No attempt is spent, and yet the other jobs of the partner must have their turn."""
    told = answer(b"", http_status=403)
    waits = [
        decide(told, replace(FIRST, conversations=n, expires_at=None), POLICY).wait
        for n in (1, 2, 3, 20)
    ]
    assert waits == [timedelta(seconds=s) for s in (1.5, 3, 6, 225)]


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


@pytest.mark.parametrize("http_status", [200, 403, 429, 500, 503])
@pytest.mark.parametrize(
    "sent", ["1772366430000000000000", "7201", "Sun, 01 Mar 2099 11:00:00 GMT"]
)
def test_a_time_that_is_a_slip_is_shown_and_not_waited_for(http_status: int, sent: str) -> None:
    told = answer(error("general_error"), http_status=http_status, headers={"retry-after": sent})
    decision = decide(told, FIRST, POLICY)
    assert decision.retry_after is None
    assert decision.wait is not None
    assert decision.wait <= timedelta(seconds=2)
    assert f"Retry-After: {sent} is no time to wait for" in decision.reason


@pytest.mark.parametrize("sent", ["in a while", "-5", "๓๐", "<script>" * 90])
def test_a_time_that_cannot_be_read_is_shown_as_well(sent: str) -> None:
    told = answer(b"", http_status=503, headers={"retry-after": sent})
    decision = decide(told, FIRST, POLICY)
    assert decision.retry_after is None
    assert f"Retry-After: {sent[:80]} is no time to wait for" in decision.reason
    assert len(decision.reason) < 250


def test_how_long_a_wait_is_believed_is_a_setting() -> None:
    told = answer(b"", http_status=429, headers={"retry-after": "7201"})
    patient = replace(POLICY, max_retry_after=timedelta(hours=3))
    assert decide(told, FIRST, patient).retry_after == timedelta(seconds=7201)
    assert decide(told, FIRST, patient).reason.endswith("; Retry-After: 7201")
    assert decide_inquiry(told, FIRST, POLICY).retry_after is None

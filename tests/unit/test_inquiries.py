"""An inquiry settles doubt by what the bank says of the token, and by nothing else."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.cases import AFTER_DOUBT, FAULTS, LAST, NOW, POLICY, REQUEST
from worker.domain.answer import Answer
from worker.domain.decision import Case, Decision
from worker.domain.judgement import decide, decide_inquiry, decide_lease_ended
from worker.domain.kplus import InquiryRequest, RequestDt
from worker.domain.states import Event, Outcome
from worker.errors import AnswerLost, BankError, BankUnreachable

ASKED = InquiryRequest("INQ000000000001", REQUEST.partner_id, REQUEST.token_id, "INV-7")
CASE = replace(AFTER_DOUBT, request=ASKED, inquiries=0)


def told(status: Any = None, *, case: Case = CASE, http_status: int = 200, **more: Any) -> Decision:
    """Judge an inquiry's answer, with some fields changed."""
    document = {
        "partnerTxnUid": ASKED.partner_txn_uid,
        "partnerId": ASKED.partner_id,
        "statusCode": "00",
        "errorCode": None,
        "errorDesc": None,
        "paymentStatus": status,
        "tokenId": ASKED.token_id,
        "reference1": "INV-7",
    } | more
    answer = Answer.read(
        http_status=http_status,
        headers={},
        body=json.dumps(document).encode(),
        at=NOW,
        inquiry=True,
    )
    return decide_inquiry(answer, case, POLICY)


def test_an_inquiry_asks_under_a_uid_of_its_own_and_without_reference1() -> None:
    assert ASKED.body("s3cret", at=NOW, request_dt=RequestDt.UNIX) == {
        "partnerTxnUid": "INQ000000000001",
        "partnerId": REQUEST.partner_id,
        "partnerSecret": "s3cret",
        "requestDt": int(NOW.timestamp()),
        "tokenId": REQUEST.token_id,
    }


@pytest.mark.parametrize(
    ("status", "event", "outcome"),
    [
        ("CANCELLED", Event.SUCCEED, Outcome.CANCELLED),
        ("EXPIRED", Event.SUCCEED, Outcome.EXPIRED),
        ("PAID", Event.REFUSE, Outcome.PAID),
    ],
)
def test_what_became_of_the_token_ends_the_doubt(
    status: str, event: Event, outcome: Outcome
) -> None:
    decision = told(status)
    assert (decision.event, decision.outcome) == (event, outcome)
    assert decision.token_status == status


def test_a_token_that_can_still_be_paid_is_cancelled_again() -> None:
    decision = told("REQUESTED")
    assert decision.event is Event.RETRY
    assert decision.outcome is None


def test_a_payable_token_after_the_last_attempt_is_not_cancelled_for_ever() -> None:
    decision = told("REQUESTED", case=replace(CASE, attempts=LAST.attempts))
    assert (decision.event, decision.outcome) == (Event.EXHAUST, Outcome.UNKNOWN)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "NOT_FOUND"},
        {"status": "VOIDED"},
        {"status": "WITHDRAWN"},
        {"status": None},
        {"status": ["CANCELLED", "PAID"]},
        {"status": "CANCELLED", "tokenId": "ANOTHER"},
        {"status": "CANCELLED", "tokenId": None},
        {"status": "CANCELLED", "partnerTxnUid": REQUEST.partner_txn_uid},
        {"status": "CANCELLED", "http_status": 500},
        {"statusCode": "10", "errorCode": "invalid_tokenId"},
        {"statusCode": "10", "errorCode": "general_error"},
        {"statusCode": "10", "errorCode": "duplicate_request"},
        {"statusCode": "10", "errorCode": "never_seen"},
    ],
)
def test_anything_else_leaves_the_doubt_as_it_was(answer: dict[str, Any]) -> None:
    decision = told(**answer)
    assert decision.event is Event.DOUBT
    assert decision.outcome is None
    assert decision.wait is not None


def test_the_payments_own_data_is_not_read() -> None:
    """A slip is large, an account is personal: neither is needed here."""
    decision = told("PAID", slipImage="A" * 100_000, paymentAccount="xxx-x-x1234-x")
    assert decision.outcome is Outcome.PAID
    assert "1234" not in repr(decision)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_an_inquiry_says_anything_of_the_token(fault: BankError) -> None:
    decision = decide_inquiry(fault, CASE, POLICY)
    assert decision.event is Event.DOUBT
    assert not decision.spent


def test_an_inquiry_about_our_own_fault_pauses_the_partner() -> None:
    decision = told(statusCode="10", errorCode="authentication_error")
    assert decision.event is Event.DOUBT
    assert decision.pause_reason is not None


@pytest.mark.parametrize("status", ["NOT_FOUND", None])
def test_inquiries_never_exhaust_by_count_but_by_age(status: str | None) -> None:
    many = replace(CASE, attempts=LAST.attempts, inquiries=10_000)
    assert told(status, case=many).event is Event.DOUBT
    old = replace(CASE, created_at=NOW - POLICY.max_age, expires_at=None)
    assert told(status, case=old).outcome is Outcome.UNKNOWN


def test_the_first_inquiry_comes_soon_and_the_next_ones_later() -> None:
    policy = replace(
        POLICY, inquiry_backoff=replace(POLICY.inquiry_backoff, base=timedelta(seconds=8))
    )
    lost = FAULTS[0]
    first = decide(lost, replace(AFTER_DOUBT, attempts=9, inquiries=0, jitter=0.0), policy)
    third = decide_inquiry(lost, replace(CASE, inquiries=2, jitter=0.0), policy)
    assert first.wait == timedelta(seconds=4)
    assert third.wait == timedelta(seconds=16)


def test_an_inquiry_whose_worker_fell_silent_spends_no_attempt() -> None:
    last = replace(CASE, attempts=LAST.attempts)
    decision = decide_lease_ended(last, POLICY, inquiry=True)
    assert decision.event is Event.DOUBT
    assert not decision.spent
    assert decide_lease_ended(replace(last, inquiries=None), POLICY).event is Event.EXHAUST
    # Perhaps it was never made: past the expiry it is still owed.
    assert (
        decide_lease_ended(replace(CASE, expires_at=NOW), POLICY, inquiry=True).event is Event.DOUBT
    )


NEVER_DOUBTED = replace(CASE, doubted=False, expires_at=NOW)


SAYS_NOTHING: list[Answer | BankError] = [
    BankUnreachable("connection refused", fault="connect_failed"),
    BankUnreachable("no such host", fault="dns_failed"),
    AnswerLost("silence", fault="read_timeout"),
    *(Answer(http_status, flaw="a page") for http_status in (200, 400, 403, 404, 500, 502, 503)),
]


@pytest.mark.parametrize("said", SAYS_NOTHING)
@pytest.mark.parametrize("doubted", [False, True])
def test_past_the_expiry_a_call_that_says_nothing_of_the_token_is_not_the_last(
    said: Answer | BankError, *, doubted: bool
) -> None:
    """The customer may have paid: the bank is asked until it speaks, or the job is too old."""
    case = replace(NEVER_DOUBTED, doubted=doubted)
    decision = decide_inquiry(said, case, POLICY)
    assert (decision.event, decision.outcome) == (Event.DOUBT if doubted else Event.RETRY, None)
    old = decide_inquiry(said, replace(case, created_at=NOW - POLICY.max_age), POLICY)
    assert old.outcome is (Outcome.UNKNOWN if doubted else Outcome.LAPSED)


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": "10", "errorCode": "general_error"},
        {"statusCode": "10", "errorCode": "internal_error"},
        {"statusCode": "10", "errorCode": "duplicate_request"},
        {"statusCode": "10", "errorCode": "never_seen"},
        {"status": None},
        {"status": ["CANCELLED", "PAID"]},
        {"status": "VOIDED", "tokenId": "ANOTHER"},
        {"status": "CANCELLED", "http_status": 503},
    ],
)
def test_past_the_expiry_a_bank_that_speaks_of_something_else_is_asked_again(
    answer: dict[str, Any],
) -> None:
    decision = told(**answer, case=NEVER_DOUBTED)
    assert (decision.event, decision.outcome) == (Event.RETRY, None)


@pytest.mark.parametrize("doubted", [False, True])
def test_past_the_expiry_the_bank_is_asked_at_growing_intervals(*, doubted: bool) -> None:
    """Not within seconds for a whole day, though no attempt is spent any more."""
    case = replace(NEVER_DOUBTED, doubted=doubted, attempts=0, expires_at=NOW - timedelta(days=1))
    waits = [
        decide_inquiry(SAYS_NOTHING[0], replace(case, inquiries=n, created_at=NOW), POLICY).wait
        for n in (0, 1, 2, 30)
    ]
    assert waits == [timedelta(seconds=s) for s in (1.5, 3, 6, 225)]
    silent = decide_lease_ended(replace(case, inquiries=30), POLICY, inquiry=True)
    assert silent.wait == timedelta(seconds=225)


@pytest.mark.parametrize("said", ["VOIDED", "NOT_FOUND", "WITHDRAWN"])
def test_past_the_expiry_a_word_about_the_token_is_the_last(said: str) -> None:
    assert told(said, case=NEVER_DOUBTED).outcome is Outcome.LAPSED
    refused = told(statusCode="10", errorCode="invalid_tokenId", case=NEVER_DOUBTED)
    assert refused.outcome is Outcome.LAPSED


def test_past_the_expiry_an_answer_that_settles_nothing_is_the_last() -> None:
    doubted = told("VOIDED", case=replace(CASE, expires_at=NOW))
    assert (doubted.event, doubted.outcome) == (Event.EXHAUST, Outcome.UNKNOWN)
    never = told("VOIDED", case=NEVER_DOUBTED)
    assert (never.event, never.outcome) == (Event.EXHAUST, Outcome.LAPSED)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("EXPIRED", Outcome.EXPIRED), ("PAID", Outcome.PAID), ("CANCELLED", Outcome.CANCELLED)],
)
def test_past_the_expiry_the_banks_word_still_counts(status: str, outcome: Outcome) -> None:
    assert told(status, case=NEVER_DOUBTED).outcome is outcome


def test_a_token_that_is_payable_past_the_expiry_we_were_told_is_cancelled_on() -> None:
    decision = told("REQUESTED", case=NEVER_DOUBTED)
    assert (decision.event, decision.heard, decision.outcome) == (Event.RETRY, "payable", None)


@pytest.mark.parametrize("http_status", [401, 429])
def test_past_the_expiry_an_inquiry_that_was_turned_away_is_still_owed(http_status: int) -> None:
    turned_away = Answer.read(http_status=http_status, headers={}, body=b"", at=NOW, inquiry=True)
    decision = decide_inquiry(turned_away, NEVER_DOUBTED, POLICY)
    assert (decision.event, decision.outcome) == (Event.RETRY, None)


def test_an_inquiry_puts_nothing_in_doubt() -> None:
    """Asking has no effect at the bank: its silence is not an attempt's silence."""
    early = replace(NEVER_DOUBTED, expires_at=None)
    for fault in FAULTS:
        assert decide_inquiry(fault, early, POLICY).event is Event.RETRY
    assert decide_lease_ended(early, POLICY, inquiry=True).event is Event.RETRY


def test_a_payable_token_is_cancelled_by_the_schedule_of_its_attempts() -> None:
    """However often the bank was asked before it could be reached."""
    case = replace(CASE, attempts=1, inquiries=30, expires_at=None)
    assert told("REQUESTED", case=case).wait == timedelta(seconds=1.5)

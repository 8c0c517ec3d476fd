"""A claim: what goes on the wire under it, what it is judged by, and what evidence it leaves."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from worker.domain.answer import Answer
from worker.domain.claims import Claim, ClaimKind, Evidence
from worker.domain.kplus import CancelRequest, InquiryRequest

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REQUEST = CancelRequest("RGH001", "P1", "TOKEN1", "ORDER-1")
CLAIM = Claim(
    request=REQUEST,
    lease_id="IQ0123456789.abcdef",
    number=5,
    kind=ClaimKind.CANCEL,
    attempts=2,
    doubted=True,
    created_at=AT,
    expires_at=AT + timedelta(minutes=5),
    started_at=AT,
    lease_ends_at=AT + timedelta(minutes=1),
)
ASKING = replace(CLAIM, kind=ClaimKind.INQUIRY)


def test_a_cancel_goes_out_as_the_order_has_it() -> None:
    assert CLAIM.on_the_wire is REQUEST


def test_an_inquiry_goes_out_under_a_uid_of_its_own() -> None:
    sent = ASKING.on_the_wire
    assert isinstance(sent, InquiryRequest)
    assert sent.partner_txn_uid != REQUEST.partner_txn_uid
    assert (sent.partner_id, sent.token_id, sent.reference1) == ("P1", "TOKEN1", "ORDER-1")
    assert sent == ASKING.on_the_wire, "a rescue must find the same uid again"


@pytest.mark.parametrize(("claim", "before"), [(CLAIM, 3), (ASKING, 2)])
def test_inquiries_are_the_conversations_before_this_one_that_spent_no_attempt(
    claim: Claim, before: int
) -> None:
    case = claim.case(at=AT, jitter=0.5, inquirers=["P1"])
    assert case.inquiries == before
    assert case.request == claim.on_the_wire
    assert (case.attempts, case.doubted, case.at, case.jitter) == (2, True, AT, 0.5)
    assert (case.created_at, case.expires_at) == (CLAIM.created_at, CLAIM.expires_at)


@pytest.mark.parametrize(("claim", "before"), [(CLAIM, 1), (ASKING, 0)])
def test_conversations_that_are_not_counted_lengthen_no_wait(claim: Claim, before: int) -> None:
    """Those before a requeue, and cancels that a rate limit turned away."""
    case = replace(claim, uncounted=2).case(at=AT, jitter=0.5, inquirers=["P1"])
    assert (case.inquiries, case.conversations) == (before, 5)


def test_a_partner_that_cannot_ask_has_no_inquiries() -> None:
    assert CLAIM.case(at=AT, jitter=0.5, inquirers=["P2"]).inquiries is None


def test_more_attempts_than_conversations_are_no_negative_count() -> None:
    """A row that plain SQL has changed may say so."""
    odd = replace(CLAIM, number=1, attempts=4)
    assert odd.case(at=AT, jitter=0.5, inquirers=["P1"]).inquiries == 0


def evidence(document: object) -> Evidence:
    """Return what an answer with this body leaves behind."""
    body = json.dumps(document).encode()
    answer = Answer.read(http_status=200, headers={}, body=body, at=AT)
    return Evidence("RGH001", timedelta(seconds=1), answer)


def test_evidence_keeps_the_banks_own_words() -> None:
    found = evidence(
        {
            "statusCode": "10",
            "errorCode": "general_error",
            "errorDesc": "Try later (EMG)",
            "tokenList": [
                {"tokenId": "TOKEN1", "reference1": "ORDER-1", "status": "PAID"},
                {"tokenId": "TOKEN2"},
            ],
        }
    )
    assert found.words() == {
        "status_code": "10",
        "error_code": "general_error",
        "error_desc": "Try later (EMG)",
        "short_code": "EMG",
    }
    assert found.entries() == [
        {"position": 0, "token_id": "TOKEN1", "reference1": "ORDER-1", "status": "PAID"},
        {"position": 1, "token_id": "TOKEN2", "reference1": None, "status": None},
    ]


def test_an_answer_without_a_short_code_says_so() -> None:
    """Null stands in rows of versions that did not keep it."""
    assert evidence({"statusCode": "00"}).words()["short_code"] == ""


def test_without_an_answer_there_are_no_words() -> None:
    nothing = Evidence("RGH001", timedelta(seconds=1))
    assert set(nothing.words().values()) == {None}
    assert nothing.entries() == []

"""The judgement of what the bank says, row by row."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.cases import (
    AFTER_DOUBT,
    FIRST,
    POLICY,
    REQUEST,
    answer,
    document,
    entry,
    error,
    judge,
)
from worker.domain.answer import Answer
from worker.domain.dialect import Dialect
from worker.domain.judgement import decide
from worker.domain.kplus import Envelope
from worker.domain.states import Event, Outcome


def statuses(*words: Any) -> dict[str, Any]:
    """Return a success whose token has these statuses."""
    return document(tokenList=[entry(status=list(words))])


@pytest.mark.parametrize(
    ("content", "event", "outcome"),
    [
        (document(), Event.SUCCEED, Outcome.CANCELLED),
        (statuses("CANCELLED"), Event.SUCCEED, Outcome.CANCELLED),
        (statuses("cancelled"), Event.SUCCEED, Outcome.CANCELLED),
        (statuses("CANCELLED", "CANCELLED"), Event.SUCCEED, Outcome.CANCELLED),
        (statuses("EXPIRED"), Event.SUCCEED, Outcome.EXPIRED),
        (statuses("PAID"), Event.REFUSE, Outcome.PAID),
        (document(tokenList=entry()), Event.SUCCEED, Outcome.CANCELLED),
        (document(tokenList=[entry(reference1="KS1234567")]), Event.SUCCEED, Outcome.CANCELLED),
        (
            document(tokenList=[entry(tokenId="other", status="PAID"), entry()]),
            Event.SUCCEED,
            Outcome.CANCELLED,
        ),
    ],
)
def test_a_clear_success_is_believed(
    content: dict[str, Any], event: Event, outcome: Outcome
) -> None:
    for case in (FIRST, AFTER_DOUBT):
        decision = judge(content, case=case)
        assert (decision.event, decision.outcome) == (event, outcome)
        assert decision.heard == outcome
        assert decision.spent
        assert decision.wait is None


@pytest.mark.parametrize(
    ("content", "heard"),
    [
        (document(tokenList=None), "token_missing"),
        (document(tokenList=[]), "token_missing"),
        (document(tokenList="CANCELLED"), "token_missing"),
        (document(tokenList=[entry(tokenId=None)]), "token_missing"),
        (document(tokenList=[entry(tokenId="other")]), "foreign_echo"),
        (document(partnerTxnUid="other"), "foreign_echo"),
        (document(partnerId="other"), "foreign_echo"),
        (document(partnerTxnUid=None), "no_echo"),
        (document(partnerId=None), "no_echo"),
        (document(tokenList=[entry(status=None)]), "status_missing"),
        (document(tokenList=[entry(status="")]), "status_missing"),
        (statuses(), "status_missing"),
        (document(tokenList=[entry(), entry(status=None)]), "status_missing"),
        (statuses("GONE"), "unknown_status"),
        (statuses("CANCELLED", "GONE"), "unknown_status"),
        (statuses("CANCELLED", {"was": "PAID"}), "unknown_status"),
        (document(tokenList=[entry(status=True)]), "unknown_status"),
        (statuses("CANCELLED", "PAID"), "contradiction"),
        (document(tokenList=[entry(), entry(status="PAID")]), "contradiction"),
        (document(errorCode="qr_paid"), "contradiction"),
        (document(errorCode="new_code"), "contradiction"),
        (document(errorDesc="It is paid (EMQRP)"), "contradiction"),
        (statuses("REQUESTED"), "payable"),
        (statuses("VOIDED"), "not_cancelled"),
        (statuses("NOT_FOUND"), "not_cancelled"),
        (document(statusCode="0"), "unknown_code"),
        (document(statusCode=0), "unknown_code"),
        (document(statusCode="10"), "unknown_code"),
        (document(statusCode=None, errorCode="x"), "unknown_code"),
        (document(statusCode=["00"]), "unreadable"),
    ],
)
def test_a_success_that_is_not_clear_is_doubt(content: dict[str, Any], heard: str) -> None:
    for case in (FIRST, AFTER_DOUBT):
        decision = judge(content, case=case)
        assert (decision.event, decision.heard) == (Event.DOUBT, heard)
        assert decision.outcome is None
        assert decision.wait is not None


@pytest.mark.parametrize("http_status", [100, 199, 300, 302, 400, 401, 404, 429, 500, 503])
def test_a_success_under_an_http_failure_is_doubt(http_status: int) -> None:
    decision = judge(document(), http_status=http_status)
    assert (decision.event, decision.heard) == (Event.DOUBT, "contradiction")


@pytest.mark.parametrize("http_status", [200, 201, 202, 299])
def test_every_2xx_may_carry_a_success(http_status: int) -> None:
    assert judge(document(), http_status=http_status).event is Event.SUCCEED


CODES = [
    ("qr_cancelled", None, Event.SUCCEED, Outcome.ALREADY_CANCELLED),
    ("QR_CANCELLED", None, Event.SUCCEED, Outcome.ALREADY_CANCELLED),
    ("qr_expired", None, Event.SUCCEED, Outcome.EXPIRED),
    ("qr_paid", None, Event.REFUSE, Outcome.PAID),
    ("invalid_reference1", None, Event.REFUSE, Outcome.REFUSED),
    ("invalid_origPartnerTxnUid", "names nothing (EMITDNE)", Event.REFUSE, Outcome.REFUSED),
    (None, "It is cancelled (EMQRC)", Event.SUCCEED, Outcome.ALREADY_CANCELLED),
    ("new_code", "It is paid [EMQRP].", Event.REFUSE, Outcome.PAID),
    ("general_error", None, Event.RETRY, None),
    (None, "Try again later (EMG)", Event.RETRY, None),
    ("duplicate_request", None, Event.DOUBT, None),
    ("internal_error", "(EMIDB)", Event.DOUBT, None),
    ("settlement_error", "(EMSET)", Event.DOUBT, None),
    ("qr_cancelled", "It is paid (EMQRP)", Event.DOUBT, None),
    ("new_code", None, Event.DOUBT, None),
    ("new_code", "of no kind (NEW)", Event.DOUBT, None),
    (None, None, Event.DOUBT, None),
]


@pytest.mark.parametrize("http_status", [200, 400, 404, 409, 422, 500])
@pytest.mark.parametrize(("code", "desc", "event", "outcome"), CODES)
def test_a_code_is_judged_as_the_dialect_says_whatever_http_says(
    code: str | None, desc: str | None, event: Event, outcome: Outcome | None, http_status: int
) -> None:
    decision = judge(error(code, desc), http_status=http_status)
    assert (decision.event, decision.outcome) == (event, outcome)
    assert decision.spent
    assert decision.pause_reason is None
    assert (decision.wait is None) == (outcome is not None)


@pytest.mark.parametrize(
    ("code", "heard"),
    [
        ("duplicate_request", "duplicate"),
        ("internal_error", "doubt"),
        ("new_code", "unknown_code"),
        ("general_error", "later"),
        ("authentication_error", "ours"),
        ("qr_paid", "paid"),
        ("invalid_reference1", "refused"),
    ],
)
def test_what_was_heard_has_a_stable_word(code: str, heard: str) -> None:
    assert judge(error(code)).heard == heard


@pytest.mark.parametrize("code", ["qr_cancelled", "qr_paid", "invalid_reference1"])
@pytest.mark.parametrize(
    "changes",
    [{"partnerTxnUid": "other"}, {"partnerId": "other"}, {"tokenList": entry(tokenId="other")}],
)
def test_a_code_in_an_answer_to_somebody_else_is_doubt(code: str, changes: dict[str, Any]) -> None:
    decision = judge(error(code, **changes))
    assert (decision.event, decision.heard) == (Event.DOUBT, "foreign_echo")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("qr_cancelled", "PAID"),
        ("qr_cancelled", "EXPIRED"),
        ("qr_cancelled", "REQUESTED"),
        ("qr_expired", "PAID"),
        ("qr_paid", "CANCELLED"),
        ("invalid_reference1", "CANCELLED"),
        ("invalid_reference1", "PAID"),
        ("qr_cancelled", ["CANCELLED", "PAID"]),
    ],
)
def test_a_code_that_the_listed_token_contradicts_is_doubt(code: str, status: object) -> None:
    """The customer paid while we cancelled: neither `cancelled` nor `paid` may be guessed."""
    decision = judge(error(code, tokenList=[entry(status=status)]))
    assert (decision.event, decision.heard) == (Event.DOUBT, "contradiction")


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        ("qr_cancelled", "CANCELLED", Outcome.ALREADY_CANCELLED),
        ("qr_paid", "PAID", Outcome.PAID),
        ("qr_expired", "EXPIRED", Outcome.EXPIRED),
        ("invalid_reference1", "REQUESTED", Outcome.REFUSED),
        ("qr_paid", "VOIDED", Outcome.PAID),
        ("qr_paid", "A_NEW_WORD", Outcome.PAID),
        ("qr_paid", None, Outcome.PAID),
    ],
)
def test_a_code_stands_where_the_listed_token_does_not_contradict_it(
    code: str, status: object, outcome: Outcome
) -> None:
    assert judge(error(code, tokenList=[entry(status=status)])).outcome is outcome


@pytest.mark.parametrize(
    "code",
    [
        "authentication_error",
        "bad_request",
        "merchant_closed",
        "account_error",
        "invalid_merchant",
        "invalid_partnerId",
        "invalid_partnerSecret",
        "invalid_requestDt",
        "invalid_client",
        "invalid_grant",
    ],
)
@pytest.mark.parametrize("http_status", [200, 400, 401, 500])
def test_a_fault_of_ours_pauses_the_partner_and_spends_nothing(code: str, http_status: int) -> None:
    decision = judge(error(code), http_status=http_status)
    assert decision.event is Event.RETRY
    assert decision.pause_reason is not None
    assert code in decision.pause_reason
    assert not decision.spent
    assert not decision.bank_failed


@pytest.mark.parametrize("code", ["invalid_reference1", "invalid_origPartnerTxnUid"])
def test_a_refusal_after_doubt_is_not_believed(code: str) -> None:
    """Our own lost attempt may have cancelled the token that the bank now cannot find."""
    decision = judge(error(code, tokenList=[entry(status="NOT_FOUND")]), case=AFTER_DOUBT)
    assert (decision.event, decision.outcome) == (Event.DOUBT, None)
    assert decision.heard == "refused"
    assert decision.token_status == "NOT_FOUND"
    assert "not believed" in decision.reason


@pytest.mark.parametrize("code", ["qr_paid", "qr_cancelled", "qr_expired"])
def test_what_became_of_the_token_is_believed_after_doubt(code: str) -> None:
    assert judge(error(code), case=AFTER_DOUBT).outcome is not None


@pytest.mark.parametrize(
    ("content", "written"),
    [
        (document(), "CANCELLED"),
        (statuses("CANCELLED", "PAID"), "CANCELLED,PAID"),
        (document(tokenList=[entry(), entry(status="PAID")]), "CANCELLED,PAID"),
        (document(tokenList=[entry(tokenId="other", status="PAID"), entry()]), "CANCELLED"),
        (statuses("A_NEW_WORD"), "A_NEW_WORD"),
        (statuses(), ""),
        (document(tokenList=[entry(status=None)]), None),
        (document(tokenList=[]), None),
        (error("new_code", tokenList=[entry(status="PAID")]), "PAID"),
        (error("new_code"), None),
        (b"", None),
    ],
)
def test_the_status_of_our_token_is_kept_as_it_came(content: Any, written: str | None) -> None:
    assert judge(content).token_status == written


def test_what_is_kept_of_a_long_status_fits_its_column() -> None:
    long = [f"{number:x<199}" for number in range(9)]
    for tokens in ([entry(status=long)], [entry(status=long[:1])] * 50):
        status = judge(document(tokenList=tokens)).token_status
        assert status is not None
        assert len(status) <= 200


def test_an_operators_words_decide_without_a_release() -> None:
    own = Dialect.model_validate(
        {"error_codes": {"KP_GONE": "already_cancelled"}, "statuses": {"REVOKED": "cancelled"}}
    )
    policy = replace(POLICY, dialect=POLICY.dialect.extended(own))
    assert decide(answer(error("kp_gone")), FIRST, policy).outcome is Outcome.ALREADY_CANCELLED
    assert decide(answer(statuses("Revoked")), FIRST, policy).outcome is Outcome.CANCELLED


def test_an_envelope_of_nothing_is_doubt() -> None:
    decision = decide(Answer(200, Envelope()), FIRST, POLICY)
    assert decision.event is Event.DOUBT


def test_an_answer_is_judged_by_its_echo_and_not_by_its_reference() -> None:
    request = replace(REQUEST, reference1="another")
    assert judge(document(), case=replace(FIRST, request=request)).event is Event.SUCCEED


def test_every_reason_is_told_in_words() -> None:
    for content in (document(), error("qr_paid"), error("new_code"), b"", statuses("GONE")):
        assert len(judge(content).reason) > len("because")
    assert judge(b"", http_status=503).wait is not None
    assert judge(b"", http_status=503).wait != timedelta(0)

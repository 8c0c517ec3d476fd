"""The life of a token, as cancels and inquiries see it."""

import base64

import pytest

from tests.sandbox.caller import PARTNER, Caller
from worker.sandbox import Rules, Sandbox, TokenStatus


def test_an_ordinary_token_is_cancelled_as_the_documentation_shows(
    bank: Sandbox, caller: Caller
) -> None:
    heard = caller.cancel("KP2XXX00003315900BBC3C374D644DE9F2BA5CDC189C27B", "RGH001030118001")
    assert heard.status == 200
    assert heard.headers["Content-Type"] == "application/json"
    assert heard.json == {
        "partnerTxnUid": "RGH001030118001",
        "partnerId": PARTNER,
        "statusCode": "00",
        "errorCode": None,
        "errorDesc": None,
        "tokenList": [
            {
                "tokenId": "KP2XXX00003315900BBC3C374D644DE9F2BA5CDC189C27B",
                "reference1": "order-1",
                "status": "CANCELLED",
            }
        ],
    }


def test_cancelling_again_answers_the_same_and_has_no_second_effect(
    bank: Sandbox, caller: Caller
) -> None:
    first, second = caller.cancel("ok-1", "U"), caller.cancel("ok-1", "U")
    assert first.body == second.body
    assert bank.journal.effects() == {"ok-1": 1}
    assert [entry.effect for entry in bank.journal.entries()] == [True, False]


@pytest.mark.parametrize(
    ("token", "code", "told", "life"),
    [
        ("paid-1", "qr_paid", None, TokenStatus.PAID),
        ("PAID-1", "qr_paid", None, TokenStatus.PAID),
        ("paidlist-1", None, "PAID", TokenStatus.PAID),
        ("expired-1", "qr_expired", None, TokenStatus.EXPIRED),
        ("expiredlist-1", None, "EXPIRED", TokenStatus.EXPIRED),
        ("cancelled-1", None, "CANCELLED", TokenStatus.CANCELLED),
        ("cancelledcode-1", "qr_cancelled", None, TokenStatus.CANCELLED),
        ("unknown-1", "invalid_tokenId", None, TokenStatus.NOT_FOUND),
    ],
)
def test_a_token_that_is_final_already_is_told_and_left_alone(
    bank: Sandbox, caller: Caller, token: str, code: str | None, told: str | None, life: TokenStatus
) -> None:
    heard = caller.cancel(token)
    assert (heard.json["statusCode"] == "10") is (code is not None)
    assert (heard.code, heard.token_status) == (code, told)
    assert caller.inquire(token).token_status == life
    assert bank.journal.effects() == {}


def test_recode_tells_by_code_that_the_token_was_cancelled_before(caller: Caller) -> None:
    assert caller.cancel("recode-1").token_status == "CANCELLED"
    assert caller.cancel("recode-1").code == "qr_cancelled"


def test_say_claims_a_status_and_changes_nothing(bank: Sandbox, caller: Caller) -> None:
    assert caller.cancel("say.voided-1").token_status == "VOIDED"
    assert caller.cancel("ok~say.voided-2").token_status == "CANCELLED"
    assert caller.inquire("ok~say.voided-2").token_status == "VOIDED"
    assert bank.journal.effects() == {"ok~say.voided-2": 1}


def test_an_expiring_token_expires_by_the_clock_of_the_bank() -> None:
    now = [1000.0]
    with Sandbox(clock=lambda: now[0]) as bank, Caller(bank.port) as caller:
        assert caller.inquire("expires60-1", requestDt=1000).token_status == "REQUESTED"
        now[0] += 59
        assert caller.inquire("expires60-1").token_status == "REQUESTED"
        now[0] += 1
        assert caller.inquire("expires60-1").token_status == "EXPIRED"
        assert caller.cancel("expires60-1").code == "qr_expired"
        assert not bank.pay("expires60-1")


def test_a_token_life_for_the_whole_bank_expires_every_token() -> None:
    now = [1000.0]
    rules = Rules(token_life_seconds=1800)
    with Sandbox(clock=lambda: now[0], rules=rules) as bank, Caller(bank.port) as caller:
        assert caller.inquire("ok-1").token_status == "REQUESTED"
        now[0] += 1800
        assert caller.inquire("ok-1").token_status == "EXPIRED"
        assert caller.cancel("ok-2").token_status == "CANCELLED"


def test_an_inquiry_answers_with_every_documented_field(caller: Caller) -> None:
    assert set(caller.inquire("ok-1").json) == {
        "partnerTxnUid", "partnerId", "statusCode", "errorCode", "errorDesc", "paymentStatus",
        "paymentTimeStamp", "paymentRefernceId", "slipImage", "paymentAccount", "paymentDt",
        "reference1", "reference2", "totalAmount", "currencyCode", "currencyExponent", "tokenId",
        "additionalInfo1", "additionalInfo2", "additionalInfo3",
    }  # fmt: skip


def test_an_inquiry_follows_the_token_through_its_life(bank: Sandbox, caller: Caller) -> None:
    assert caller.inquire("ok-1").token_status == "REQUESTED"
    caller.cancel("ok-1")
    heard = caller.inquire("ok-1")
    assert heard.token_status == "CANCELLED"
    assert heard.json["reference1"] == "order-1"
    assert heard.json["slipImage"] is None


def test_an_inquiry_about_a_paid_token_brings_a_large_slip(caller: Caller) -> None:
    answer = caller.inquire("paid-1").json
    assert answer["paymentStatus"] == "PAID"
    assert len(base64.b64decode(answer["slipImage"], validate=True)) > 100_000
    assert answer["paymentAccount"].startswith("xxx")
    assert isinstance(answer["paymentDt"], int)

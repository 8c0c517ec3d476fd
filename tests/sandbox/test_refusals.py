"""What the bank refuses: wrong shapes, wrong credentials, repeated uids, and codes on demand."""

import json
import threading
from typing import Any

import pytest

from tests.sandbox.caller import (
    CANCEL,
    INQUIRE,
    PARTNER,
    SECRET,
    Caller,
    cancel_bytes,
    content,
    headers,
)
from tests.servers.waiting import joined
from worker.sandbox import Rules, Sandbox


@pytest.mark.parametrize(
    "name", ["partnerTxnUid", "partnerId", "partnerSecret", "requestDt", "tokenId", "reference1"]
)
@pytest.mark.parametrize("value", [None, "", 7.5, [], {"a": 1}])
def test_a_missing_or_misshapen_field_is_named(
    bank: Sandbox, caller: Caller, name: str, value: object
) -> None:
    heard = caller.call(CANCEL, content("ok-1", "U", **{name: value}))
    assert (heard.json["statusCode"], heard.code) == ("10", f"invalid_{name}")
    assert bank.journal.effects() == {}


def test_an_inquiry_needs_no_reference1(caller: Caller) -> None:
    assert caller.call(INQUIRE, content("ok-1", "U", reference1=None)).json["statusCode"] == "00"


@pytest.mark.parametrize(
    "sent",
    [
        {"Partner_Id": None},
        {"Partner_Secret": None},
        {"Content_Type": None},
        {"Content_Type": "text/plain"},
        {"Partner_Id": ""},
    ],
)
def test_a_missing_header_is_a_bad_request(
    bank: Sandbox, caller: Caller, sent: dict[str, Any]
) -> None:
    assert caller.call(CANCEL, content("ok-1", "U"), headers(**sent)).code == "bad_request"
    assert bank.journal.effects() == {}


def test_header_names_and_a_charset_may_be_written_otherwise(caller: Caller) -> None:
    sent = {
        "CONTENT-TYPE": "application/json; charset=utf-8",
        "partner-id": PARTNER,
        "PARTNER-SECRET": SECRET,
    }
    assert caller.call(CANCEL, content("ok-1", "U"), sent).token_status == "CANCELLED"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_bad_request_and_in_the_journal(
    bank: Sandbox, caller: Caller, body: bytes
) -> None:
    assert caller.send("POST", CANCEL, body, headers()).code == "bad_request"
    assert [entry.partner_txn_uid for entry in bank.journal.entries()] == [""]


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("unix", 1519630776, 1519630776000),
        ("unix", 1519630776, "1519630776"),
        ("unix", 1519630776, True),
        ("unix", 1519630776, -1),
        ("unix", 1519630776, 10**15),
        ("unix_ms", 1519630776000, 1519630776),
        ("iso8601", "2018-02-26T14:39:36+07:00", 1519630776),
        ("iso8601", "2018-02-26T14:39:36.411", "yesterday"),
    ],
)
def test_the_time_must_come_in_the_agreed_form(
    bank: Sandbox, caller: Caller, form: str, good: object, bad: object
) -> None:
    bank.change_rules(request_dt=[form])
    assert caller.cancel("ok-1", requestDt=good).json["statusCode"] == "00"
    assert caller.cancel("ok-1", requestDt=bad).code == "invalid_requestDt"


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("unix", 1519630776),
        ("unix_ms", 1519630776000),
        ("iso8601", "2018-02-26T07:39:36Z"),
        ("iso8601", "2018-02-26T14:39:36"),
    ],
)
def test_the_time_may_have_to_be_near_the_banks_own(form: str, written: Any) -> None:
    now = [1519630776.0]
    rules = Rules(request_dt=(form,), clock_skew_seconds=60)
    with Sandbox(clock=lambda: now[0], rules=rules) as bank, Caller(bank.port) as caller:
        assert caller.cancel("ok-1", requestDt=written).json["statusCode"] == "00"
        now[0] += 61
        assert caller.cancel("ok-1", requestDt=written).code == "invalid_requestDt"


def test_a_bank_with_short_uids_refuses_longer_ones(bank: Sandbox, caller: Caller) -> None:
    bank.change_rules(longest_uid=15)
    assert caller.cancel("ok-1", "RGH001030118001").json["statusCode"] == "00"
    assert caller.cancel("ok-1", "RGH0010301180012").code == "invalid_partnerTxnUid"


def test_errors_may_travel_under_another_http_status(bank: Sandbox, caller: Caller) -> None:
    bank.change_rules(error_http=400, auth_http=401)
    assert caller.cancel("paid-1").status == 400
    assert caller.cancel("ok-1", tokenId="").status == 400
    assert caller.cancel("wrongsecret-1").status == 401
    assert caller.cancel("ok-1").status == 200


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        ({"Partner_Secret": "another"}, {}),
        ({}, {"partnerSecret": "another"}),
        ({"Partner_Id": "another"}, {}),
        ({}, {"partnerId": "another"}),
    ],
)
def test_header_and_body_must_agree_even_where_anybody_is_welcome(
    bank: Sandbox, caller: Caller, sent: dict[str, str], body: dict[str, str]
) -> None:
    heard = caller.call(CANCEL, content("busy1-1", "U", **body), headers(**sent))
    assert heard.code == "authentication_error"
    entry = bank.journal.entries()[0]
    assert (entry.credentials_ok, entry.scenario, entry.effect) == (False, "", False)
    assert bank.journal.counts()["wrong_credentials"] == 1
    assert caller.cancel("busy1-1").code == "general_error", "no act was spent on a stranger"


def test_expected_secrets_can_change_while_the_bank_is_open(caller: Caller, bank: Sandbox) -> None:
    bank.expect_secrets({PARTNER: "the right one"})
    assert caller.cancel("ok-1").code == "authentication_error"
    bank.expect_secrets({"another": SECRET})
    assert caller.cancel("ok-1").code == "authentication_error"
    bank.expect_secrets({PARTNER: SECRET})
    assert caller.cancel("ok-1").token_status == "CANCELLED"
    trusted = [entry.credentials_ok for entry in bank.journal.entries()]
    assert trusted == [False, False, True]


def test_no_secret_is_ever_written_down_wherever_it_was_sent() -> None:
    expected = "canary-of-the-bank"
    with Sandbox(secrets={PARTNER: expected}) as bank, Caller(bank.port) as caller:
        caller.cancel(SECRET, SECRET, partnerId=SECRET, reference1=f"x{SECRET}x{expected}")
        caller.call("/elsewhere", content("ok-1", SECRET))
        caller.call(CANCEL, {"partnerTxnUid": SECRET}, headers())
        seen = caller.get("/journal").body.decode() + repr(bank.journal.entries())
        seen += caller.get("/control/mode").body.decode()
        assert SECRET not in seen
        assert expected not in seen
        assert "[secret]" in seen
        assert bank.faults == []


def test_wrongsecret_trusts_nobody(bank: Sandbox, caller: Caller) -> None:
    bank.expect_secrets({PARTNER: SECRET})
    assert caller.cancel("wrongsecret-1").code == "authentication_error"
    assert caller.inquire("wrongsecret-1").code == "authentication_error"
    assert [entry.credentials_ok for entry in bank.journal.entries()] == [False, False]


@pytest.mark.parametrize(
    ("token", "status", "code", "desc"),
    [
        ("code.general_error-1", 200, "general_error", "(EMG)"),
        ("code503.internal_error-1", 503, "internal_error", "(EMIU)"),
        ("code.qr_void-1", 200, "qr_void", "says."),
        ("short.emqrc-1", 200, "kplus_error", "(EMQRC)"),
    ],
)
def test_any_code_can_be_had(
    bank: Sandbox, caller: Caller, token: str, status: int, code: str, desc: str
) -> None:
    heard = caller.cancel(token)
    assert (heard.status, heard.code) == (status, code)
    assert heard.json["errorDesc"].endswith(desc)
    assert bank.journal.effects() == {}


def test_a_repeated_uid_is_processed_again_by_default(caller: Caller) -> None:
    assert caller.cancel("ok-1", "U").token_status == "CANCELLED"
    assert caller.cancel("ok-1", "U").token_status == "CANCELLED"
    assert caller.cancel("ok-2", "U").token_status == "CANCELLED"


def test_dupstrict_refuses_a_uid_that_came_before(caller: Caller) -> None:
    assert caller.cancel("dupstrict-1", "U").token_status == "CANCELLED"
    assert caller.cancel("dupstrict-1", "U").code == "duplicate_request"
    assert caller.cancel("dupstrict-1", "V").token_status == "CANCELLED"


def test_dupreplay_gives_the_first_result_again(bank: Sandbox, caller: Caller) -> None:
    with pytest.raises(ConnectionResetError):
        caller.cancel("drop+dupreplay-1", "U")
    assert caller.cancel("drop+dupreplay-1", "U").token_status == "CANCELLED"
    assert bank.journal.effects() == {"drop+dupreplay-1": 1}


def test_a_replay_stays_true_to_the_first_result_when_the_token_moves_on(
    bank: Sandbox, caller: Caller
) -> None:
    bank.change_rules(repeats="replay")
    assert caller.inquire("ok-1", "I").token_status == "REQUESTED"
    bank.pay("ok-1")
    assert caller.inquire("ok-1", "I").token_status == "REQUESTED"
    assert caller.inquire("ok-1", "J").token_status == "PAID"
    assert caller.inquire("ok-2", "I").code == "duplicate_request"


def test_strict_refuses_what_was_taken_up_and_strictest_all_that_was_read(
    bank: Sandbox, caller: Caller
) -> None:
    bank.change_rules(repeats="strict")
    assert caller.cancel("busy1-1", "U").code == "general_error"
    assert caller.cancel("busy1-1", "U").token_status == "CANCELLED"
    assert caller.cancel("busy1-1", "U").code == "duplicate_request"
    assert caller.inquire("busy1-1", "U").code == "duplicate_request"
    bank.change_rules(repeats="strictest")
    assert caller.cancel("busy1-2", "V").code == "general_error"
    assert caller.cancel("busy1-2", "V").code == "duplicate_request"


def test_two_partners_may_use_the_same_uid(bank: Sandbox, caller: Caller) -> None:
    bank.change_rules(repeats="strict")
    assert caller.cancel("ok-1", "U").token_status == "CANCELLED"
    body = content("ok-2", "U", partnerId="PTR2")
    assert caller.call(CANCEL, body, headers(Partner_Id="PTR2")).token_status == "CANCELLED"


def test_a_strict_bank_takes_up_one_of_many_at_the_same_moment(bank: Sandbox) -> None:
    bank.change_rules(repeats="strict")
    heard: list[bytes] = []

    def ask() -> None:
        with Caller(bank.port) as caller, caller.raw() as sock:
            sock.sendall(cancel_bytes("ok-1", "U"))
            heard.append(sock.recv(65_536))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    joined(*threads)
    codes = [json.loads(answer.partition(b"\r\n\r\n")[2])["errorCode"] for answer in heard]
    assert sorted(codes, key=str) == [None, *["duplicate_request"] * 15]

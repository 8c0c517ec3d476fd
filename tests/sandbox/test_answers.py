"""Answers bent in one thing: HTTP, body, status, token list, echoes."""

import gzip
import http.client
import json
import zlib
from typing import Any

import pytest

from tests.sandbox.caller import SECRET, Caller, cancel_bytes, until_closed
from tests.servers.waiting import eventually
from worker.sandbox import Sandbox


def raw_answer(caller: Caller, token: str, longest: int = 1_000_000) -> bytes:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes(token, "U"))
        return until_closed(sock, longest)


def listed(caller: Caller, token: str) -> Any:
    return caller.cancel(token).json["tokenList"]


@pytest.mark.parametrize(
    "status", [204, 302, 400, 401, 403, 404, 405, 408, 418, 425, 500, 504, 599]
)
def test_http_answers_with_that_status_an_empty_body_and_no_effect(
    bank: Sandbox, caller: Caller, status: int
) -> None:
    heard = caller.cancel(f"http{status}-1")
    assert (heard.status, heard.body) == (status, b"")
    assert bank.journal.effects() == {}


def test_under_sends_the_true_answer_under_another_status(bank: Sandbox, caller: Caller) -> None:
    heard = caller.cancel("under502-1")
    assert (heard.status, heard.token_status) == (502, "CANCELLED")
    assert bank.journal.effects() == {"under502-1": 1}


@pytest.mark.parametrize("status", [301, 307])
def test_who_follows_a_redirect_stands_in_the_journal(
    bank: Sandbox, caller: Caller, status: int
) -> None:
    heard = caller.cancel(f"redirect{status}-1", "U")
    assert (heard.status, heard.headers["Location"]) == (status, "/elsewhere")
    assert caller.call("/elsewhere", {"partnerTxnUid": "U"}).status == 404
    assert [entry.operation for entry in bank.journal.entries()] == ["cancel", "elsewhere"]


@pytest.mark.parametrize(
    ("token", "status", "effects"), [("garbage-1", 200, 1), ("garbage502-1", 502, 0)]
)
def test_garbage_is_a_page_for_people(
    bank: Sandbox, caller: Caller, token: str, status: int, effects: int
) -> None:
    heard = caller.cancel(token)
    assert (heard.status, heard.headers["Content-Type"]) == (status, "text/html")
    assert heard.body.startswith(b"<!doctype html>")
    assert len(bank.journal.effects()) == effects


def test_chunks_and_hints_are_harmless(caller: Caller) -> None:
    heard = caller.cancel("chunked-1")
    assert heard.headers["Transfer-Encoding"] == "chunked"
    assert heard.token_status == "CANCELLED"
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("hints-1", "U"))
        answer = sock.recv(65_536)
        while b'"CANCELLED"' not in answer:
            answer += sock.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 103 Early Hints\r\n")


def test_untilclosed_ends_with_the_line(caller: Caller) -> None:
    heard = caller.cancel("untilclosed-1")
    assert "Content-Length" not in heard.headers
    assert heard.token_status == "CANCELLED"


def test_nothttp_is_not_http(caller: Caller) -> None:
    with pytest.raises(http.client.BadStatusLine):
        caller.cancel("nothttp-1")


def test_shortlength_promises_ten_bytes_too_few(caller: Caller) -> None:
    assert caller.cancel("shortlength-1").body.endswith(b'"status":"CAN')


def test_compressed_answers_are_gzip(caller: Caller) -> None:
    heard = caller.cancel("compressed-1")
    assert heard.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(heard.body))["statusCode"] == "00"


def test_a_bomb_is_small_until_it_is_unpacked(caller: Caller) -> None:
    heard = caller.cancel("bomb20-1")
    assert len(heard.body) < 100_000
    assert len(zlib.decompress(heard.body, wbits=31)) == 20 * 1_048_576


def test_huge_is_as_many_megabytes_as_asked(caller: Caller) -> None:
    heard = caller.cancel("huge3-1")
    assert len(heard.body) > 3 * 1_048_576
    assert heard.token_status == "CANCELLED"


@pytest.mark.parametrize("token", ["endless-1", "endlesshead-1"])
def test_endless_ends_when_the_client_leaves(bank: Sandbox, caller: Caller, token: str) -> None:
    assert len(raw_answer(caller, token, 2_000_000)) >= 2_000_000
    eventually(lambda: bank.journal.counts()["in_progress"] == 0)
    assert bank.journal.entries()[0].client_left
    assert bank.journal.effects() == {token: 1}


def test_notjson_is_json_cut_in_two(caller: Caller) -> None:
    with pytest.raises(json.JSONDecodeError):
        caller.cancel("notjson-1").json  # noqa: B018 - reading it is the test


@pytest.mark.parametrize(
    ("token", "start"),
    [
        ("list-1", b'[{"'),
        ("null-1", b"null"),
        ("bom-1", b"\xef\xbb\xbf{"),
        ("deep-1", b'{"statusCode"'),
    ],
)
def test_the_body_may_be_json_of_another_kind(
    bank: Sandbox, caller: Caller, token: str, start: bytes
) -> None:
    assert caller.cancel(token).body.startswith(start)
    assert bank.journal.effects() == {token: 1}


def test_tis620_is_thai_that_is_not_utf8(caller: Caller) -> None:
    body = caller.cancel("tis620-1").body
    assert b'"errorDesc":"\xca\xd3\xe0\xc3\xe7\xa8"' in body
    with pytest.raises(UnicodeDecodeError):
        body.decode()


def test_longnumber_is_longer_than_python_reads(caller: Caller) -> None:
    body = caller.cancel("longnumber-1").body
    assert b'"count":' + b"9" * 10_000 in body


def test_characters_that_databases_refuse_are_sent(caller: Caller) -> None:
    assert caller.cancel("nul-1").json["errorDesc"] == "cut\x00here"
    assert caller.cancel("surrogate-1").json["errorDesc"] == "\ud83d"


def test_twokeys_says_ten_before_it_says_zero(caller: Caller) -> None:
    body = caller.cancel("twokeys-1").body
    assert body.index(b'"statusCode":"10"') < body.index(b'"statusCode":"00"')


@pytest.mark.parametrize(
    ("token", "field", "value"),
    [
        ("extra-1", "futureField", {"any": ["thing", 1, None]}),
        ("contradiction-1", "errorCode", "general_error"),
        ("odd-1", "statusCode", "77"),
        ("numeric-1", "statusCode", 0),
        ("nocode-1", "statusCode", None),
        ("wronguid-1", "partnerTxnUid", "SOMEBODYELSE1"),
        ("wrongpartner-1", "partnerId", "PTR0000000"),
        ("noecho-1", "partnerTxnUid", None),
        ("noecho-1", "partnerId", None),
        ("nolist-1", "tokenList", None),
        ("nulllist-1", "tokenList", None),
        ("emptylist-1", "tokenList", []),
    ],
)
def test_one_field_of_the_answer_may_be_bent(
    bank: Sandbox, caller: Caller, token: str, field: str, value: object
) -> None:
    answer = caller.cancel(token).json
    assert answer.get(field) == value
    assert (field in answer) is (value is not None or token == "nulllist-1")
    assert bank.journal.effects() == {token: 1}


@pytest.mark.parametrize(
    ("scenario", "cancel", "inquiry"),
    [
        ("statusarray", ["CANCELLED"], ["CANCELLED"]),
        ("statusempty", [], []),
        ("statusnull", None, None),
        ("statusunknown", "WITHDRAWN", "WITHDRAWN"),
        ("statuslower", "cancelled", "cancelled"),
        ("statusspaced", " CANCELLED ", " CANCELLED "),
        ("statusnumber", 7, 7),
        ("statusmixed", ["CANCELLED", "PAID"], ["CANCELLED", "PAID"]),
    ],
)
def test_the_status_may_take_another_form(
    caller: Caller, scenario: str, cancel: object, inquiry: object
) -> None:
    token = f"{scenario}~{scenario}-1"
    assert caller.cancel(token).token_status == cancel
    assert caller.inquire(token).token_status == inquiry


def test_the_status_may_be_missing(caller: Caller) -> None:
    assert "status" not in listed(caller, "statusmissing~statusmissing-1")[0]
    assert "paymentStatus" not in caller.inquire("statusmissing~statusmissing-1").json


def test_the_token_list_may_take_another_form(caller: Caller) -> None:
    assert listed(caller, "barelist-1")["status"] == "CANCELLED"
    assert [token["tokenId"] for token in listed(caller, "crowd-1")] == ["A", "crowd-1", "B"]
    assert [token["status"] for token in listed(caller, "twice-1")] == ["CANCELLED", "PAID"]
    assert [token["tokenId"] for token in listed(caller, "wrongtoken-1")] == ["SOMEBODYELSES"]
    assert [token["reference1"] for token in listed(caller, "otherref-1")] == ["KS1234567"]


def test_an_inquiry_may_echo_another_token(caller: Caller) -> None:
    assert caller.inquire("ok~wrongtoken-1").json["tokenId"] == "SOMEBODYELSES"
    assert caller.inquire("ok~otherref-1").json["reference1"] == "KS1234567"


@pytest.mark.parametrize("scenario", ["echosecret", "echosecretdesc", "echosecretpage"])
def test_a_bank_that_echoes_the_secret_does_not_write_it_down(
    bank: Sandbox, caller: Caller, scenario: str
) -> None:
    assert SECRET.encode() in caller.cancel(f"{scenario}-1").body
    assert SECRET.encode() in caller.inquire(f"{scenario}-1").body
    assert SECRET.encode() not in caller.get("/journal").body
    assert SECRET not in repr(bank.journal.entries())

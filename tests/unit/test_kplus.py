"""What comes back from the bank: read liberally, kept in bounds, never read in part."""

import json

import pytest

from tests.unit.cases import REQUEST, answer, document, entry, error
from worker.domain.kplus import CancelRequest, Envelope, TokenEntry, read_envelope


def envelope(content: object) -> Envelope:
    """Return the envelope of an answer that is expected to be readable."""
    found = answer(content).envelope
    assert found is not None
    return found


def test_the_documented_success_is_read_whole() -> None:
    assert envelope(document()) == Envelope(
        partner_txn_uid=REQUEST.partner_txn_uid,
        partner_id=REQUEST.partner_id,
        status_code="00",
        tokens=(TokenEntry(REQUEST.token_id, REQUEST.reference1, ("CANCELLED",)),),
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("CANCELLED", ("CANCELLED",)),
        (["CANCELLED"], ("CANCELLED",)),
        (["CANCELLED", "PAID"], ("CANCELLED", "PAID")),
        (["CANCELLED", None], ("CANCELLED",)),
        ([], ()),
        ([None, "", " "], ()),
        ("", ()),
        (None, None),
        (7, ("7",)),
    ],
)
def test_a_status_is_read_as_a_string_or_an_array(
    status: object, words: tuple[str, ...] | None
) -> None:
    """The bank's table types it as an array and its example shows a string."""
    assert envelope(document(tokenList=[entry(status=status)])).tokens[0].status == words


@pytest.mark.parametrize(
    "status",
    [{"code": "PAID"}, True, ["CANCELLED", {"code": "PAID"}], [["PAID"]], ["CANCELLED", False]],
)
def test_a_status_that_cannot_be_read_is_not_passed_over(status: object) -> None:
    """Left out, the unread half of `["CANCELLED", {...}]` would make a clear yes of it."""
    words = envelope(document(tokenList=[entry(status=status)])).tokens[0].status
    assert words is not None
    assert "\ufffd" in words


def test_a_status_of_very_many_words_is_not_read_in_part() -> None:
    words = envelope(document(tokenList=[entry(status=["CANCELLED"] * 500 + ["PAID"])])).tokens
    assert words[0].status is not None
    assert len(words[0].status) < 20
    assert "\ufffd" in words[0].status


def test_a_token_list_of_very_many_entries_is_not_read_in_part() -> None:
    told = answer(document(tokenList=[entry()] * 101))
    assert told.envelope is None
    assert told.flaw == "tokenList holds more than 100 entries"
    assert answer(document(tokenList=[entry()] * 100)).envelope is not None


def test_a_missing_status_is_told_from_an_empty_one() -> None:
    absent, empty, several = (
        TokenEntry("T", None, None),
        TokenEntry("T", None, ()),
        TokenEntry("T", None, ("CANCELLED", "PAID")),
    )
    assert absent.joined_status() is None
    assert empty.joined_status() == ""
    assert several.joined_status() == "CANCELLED,PAID"


def test_a_single_object_is_a_list_of_one_token() -> None:
    assert envelope(document(tokenList=entry())).tokens == envelope(document()).tokens


@pytest.mark.parametrize("tokens", [None, "T", 5, True, [], [None, "T", 5, [entry()]], {}])
def test_a_token_list_of_another_shape_lists_no_token_of_ours(tokens: object) -> None:
    listed = envelope(document(tokenList=tokens)).tokens
    assert all(token.token_id is None for token in listed)


@pytest.mark.parametrize(
    ("desc", "short"),
    [
        ("Token is cancelled (EMQRC)", "EMQRC"),
        ("Token is cancelled [EMQRC]", "EMQRC"),
        ("Token is cancelled ( EMQRC ) . ", "EMQRC"),
        ("(EMG) is not at the end", None),
        ("cancelled EMQRC", None),
        ("empty ()", None),
        ("(one) (EMG)", "EMG"),
        ("too long (" + "E" * 36 + ")", None),
        ("x" * 5000 + " (EMG)", "EMG"),
        ("x" * 193 + "(EMQRC) but paid since", None),
        ("(EMG) " + " " * 200_000 + "x", None),
        (None, None),
        (["(EMG)"], None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_short_code_stands_in_brackets_at_the_very_end(desc: object, short: str | None) -> None:
    """At the end of what the bank sent, not of what we keep of it."""
    assert envelope(document(errorDesc=desc)).short_code == short


@pytest.mark.parametrize(
    ("changes", "foreign"),
    [
        ({}, []),
        ({"partnerTxnUid": "other"}, ["partnerTxnUid"]),
        ({"partnerId": "other"}, ["partnerId"]),
        ({"tokenList": [entry(tokenId="other")]}, ["tokenId"]),
        ({"tokenList": [entry(), entry(tokenId="other")]}, []),
        ({"tokenList": [entry(tokenId=None)]}, []),
        ({"tokenList": [entry(reference1="KS1234567")]}, []),
        ({"partnerTxnUid": None, "partnerId": "", "tokenList": []}, []),
        (
            {"partnerTxnUid": 5, "partnerId": "x", "tokenList": entry(tokenId=5)},
            ["partnerTxnUid", "partnerId", "tokenId"],
        ),
    ],
)
def test_an_echo_is_foreign_where_it_is_present_and_not_ours(
    changes: dict[str, object], foreign: list[str]
) -> None:
    """The bank's own example answers with another reference1: recorded, not a failure."""
    assert envelope(document(**changes)).foreign_ids(REQUEST) == foreign


def test_ids_left_out_are_told_by_name() -> None:
    assert envelope(document()).missing_ids() == []
    assert envelope(error("x", partnerTxnUid=None, partnerId="")).missing_ids() == [
        "partnerTxnUid",
        "partnerId",
    ]


@pytest.mark.parametrize(
    "echo", ["A" + " " * 300 + "B", "RGH001030118001" + " " * 200 + "X", "RGH001030118001" * 20]
)
def test_a_cut_word_is_never_taken_for_ours(echo: str) -> None:
    assert envelope(document(partnerTxnUid=echo)).foreign_ids(REQUEST) == ["partnerTxnUid"]


def test_a_lone_surrogate_is_not_turned_into_a_character_that_ids_may_hold() -> None:
    odd = CancelRequest("uid?1", "p", "t", "r")
    body = b'{"statusCode":"00","partnerTxnUid":"uid\\ud8001","partnerId":"p"}'
    assert envelope(body).foreign_ids(odd) == ["partnerTxnUid"]


@pytest.mark.parametrize(
    ("body", "flaw"),
    [
        (b"", "the body is empty"),
        (b" \r\n", "the body is empty"),
        (b"<html>502 Bad Gateway</html>", "the body is not JSON"),
        (b'{"statusCode":"00"', "the body is not JSON"),
        (b'{"statusCode":"00"}{"statusCode":"10"}', "the body is not JSON"),
        (b"\xff\xfe\xff", "the body is not JSON"),
        (b'{"statusCode":"\xe0\xa4"}', "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b'{"a":' * 100_000, "the body is not JSON"),
        (b'{"statusCode":' + b"9" * 5000 + b"}", "the body holds a number that cannot be read"),
        (b"null", "the body is not a JSON object"),
        (b"true", "the body is not a JSON object"),
        (b'"00"', "the body is not a JSON object"),
        (b"[]", "the body is not a JSON object"),
        (b'[{"statusCode":"00"}]', "the body is not a JSON object"),
        (b"NaN", "the body is not a JSON object"),
        (b"{}", "the body has neither statusCode nor errorCode"),
        (b'{"statusCode":null}', "the body has neither statusCode nor errorCode"),
        (b'{"statusCode":" ","errorCode":""}', "the body has neither statusCode nor errorCode"),
        (b'{"statusCode":["00"]}', "the body has neither statusCode nor errorCode"),
        (b'{"statusCode":true}', "the body has neither statusCode nor errorCode"),
        (b'{"StatusCode":"00"}', "the body has neither statusCode nor errorCode"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_not_the_banks_envelope_is_told_with_its_flaw(body: bytes, flaw: str) -> None:
    assert read_envelope(body) == (None, flaw)


@pytest.mark.parametrize(
    "body",
    [
        b'{"statusCode":"10","statusCode":"00"}',
        b'{"statusCode":"00","tokenList":[{"status":"PAID","status":"CANCELLED"}]}',
        b'{"statusCode":"00","partnerTxnUid":"other","partnerTxnUid":"RGH001030118001"}',
    ],
)
def test_a_name_with_two_values_makes_no_answer(body: bytes) -> None:
    """RFC 8259 section 4: which of the two is meant cannot be known."""
    assert read_envelope(body) == (None, "the body gives one name two values")


@pytest.mark.parametrize(
    "body",
    [b'{"statusCode":"00","statusCode":"00"}', b'{"statusCode":"00","other":1,"other":2}'],
)
def test_a_repeated_name_that_changes_nothing_is_read(body: bytes) -> None:
    assert read_envelope(body) == (Envelope(status_code="00"), "")


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("  00 ", "00"),
        (0, "0"),
        (1.5, "1.5"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (True, None),
        ({}, None),
        ([], None),
        ("", None),
        ("a\0b", "a\ufffdb"),
        ("a\ud800b", "a\ufffdb"),
        ("สวัสดี", "สวัสดี"),
        ("x" * 300, "x" * 200),
    ],
)
def test_a_scalar_becomes_text_and_a_structure_becomes_nothing(
    value: object, word: str | None
) -> None:
    assert envelope(document(errorDesc=value)).error_desc == word


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32-le"])
def test_every_encoding_of_json_is_read(encoding: str) -> None:
    body = json.dumps({"statusCode": "00"}).encode(encoding)
    assert read_envelope(body) == (Envelope(status_code="00"), "")


def test_fields_that_we_do_not_need_are_not_kept() -> None:
    """One example of the bank's echoes the secret; another carries a slip and an account."""
    told = answer(document(partnerSecret="canary", slipImage="canary", paymentAccount="canary"))
    assert "canary" not in repr(told)

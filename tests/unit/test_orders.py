"""Cancel orders as producers send them: read strictly, told what to change."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cases import json_values
from worker.domain.orders import Hint, Order, read_message, read_order
from worker.errors import InvalidOrder

WHOLE: dict[str, Any] = {"partnerTxnUid": "RGH001", "tokenId": "KP2T", "reference1": "INV 7"}


def complaint(fields: dict[str, Any], **more: Any) -> str:
    """Return what is said of a message that is expected to be refused."""
    with pytest.raises(InvalidOrder) as told:
        read_message(fields, **more)
    assert told.value.reason == "invalid_fields"
    assert told.value.__cause__ is None
    return str(told.value)


def test_a_whole_order_is_read() -> None:
    order = read_message(WHOLE | {"partnerId": "KP2XXX", "expiresAt": "2026-03-01T19:00:00+07:00"})
    assert isinstance(order, Order)
    assert (order.partner_txn_uid, order.token_id) == ("RGH001", "KP2T")
    assert (order.reference1, order.partner_id) == ("INV 7", "KP2XXX")
    assert order.expires_at is not None
    assert order.expires_at.isoformat() == "2026-03-01T12:00:00+00:00"


def test_the_typed_values_of_celerys_clients_are_read() -> None:
    """They write a UUID, a Decimal and a moment as such, where JSON has texts and numbers."""
    uid = UUID("0b34a7f6-2d5c-4f3e-9a01-5f0a3c2b1d00")
    seconds, moment = Decimal("1772366400.5"), datetime(2026, 3, 1, 12, tzinfo=UTC)
    order = read_message(WHOLE | {"partnerTxnUid": uid, "reference1": uid, "expiresAt": seconds})
    assert isinstance(order, Order)
    assert (order.partner_txn_uid, order.reference1) == (str(uid), str(uid))
    assert order.expires_at == moment + timedelta(seconds=0.5)
    assert read_message({"partnerTxnUid": uid}).partner_txn_uid == str(uid)
    again = read_message(WHOLE | {"expiresAt": moment})
    assert isinstance(again, Order)
    assert again.expires_at == moment


def test_partner_and_expiry_may_be_left_out() -> None:
    order = read_order(WHOLE)
    assert order.partner_id is None
    assert order.expires_at is None


def test_an_order_may_be_spelled_as_in_python() -> None:
    ours = {"partner_txn_uid": "RGH001", "token_id": "KP2T", "reference1": "INV 7"}
    assert read_order(ours) == read_order(WHOLE)


def test_an_order_has_the_names_of_its_row() -> None:
    assert read_order(WHOLE).row() == {
        "uid": "RGH001",
        "partner_id": None,
        "token_id": "KP2T",
        "reference1": "INV 7",
        "expires_at": None,
    }


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"unknown": "x"},
        {"tokenId": None, "reference1": None, "partnerId": None, "expiresAt": None},
        {"partnerSecret": "S1Ay"},
        {"token_id": "our spelling is not the message's"},
    ],
)
def test_a_uid_alone_is_a_hint(more: dict[str, Any]) -> None:
    hint = read_message({"partnerTxnUid": "RGH001"} | more)
    assert type(hint) is Hint
    assert hint.partner_txn_uid == "RGH001"


@pytest.mark.parametrize(
    "more",
    [
        {"unknown": [1, {"deep": "canary"}]},
        {"partnerSecret": "canary"},
        {"partnerId": None, "expiresAt": None},
        {"state": "succeeded", "outcome": "canary"},
    ],
)
def test_keys_that_are_not_ours_and_nulls_are_left_out(more: dict[str, Any]) -> None:
    order = read_message(WHOLE | more)
    assert order == read_message(WHOLE)
    assert "canary" not in repr(order)


IDENTIFIER = "must be printable ASCII characters without blanks"
TEXT = "must be printable text, not blank and without control characters"
INSTANT = "must be Unix seconds or ISO 8601 with an offset"
RANGE = "must lie between the years 2000 and 2100"
MILLISECONDS = "must be Unix seconds (milliseconds are too large)"
OFFSET = "must carry an offset, such as Z or +07:00"

BAD = [
    ("partnerTxnUid", "", "String should have at least 1 character"),
    ("partnerTxnUid", "x" * 65, "String should have at most 64 characters"),
    ("partnerTxnUid", "a b", IDENTIFIER),
    ("partnerTxnUid", "a\n", IDENTIFIER),
    ("partnerTxnUid", "a\0", IDENTIFIER),
    ("partnerTxnUid", "รหัส", IDENTIFIER),
    ("partnerTxnUid", "\ud800", "Input should be a valid string, unable to parse raw data"),
    ("partnerTxnUid", 1234, "Input should be a valid string"),
    ("partnerTxnUid", True, "Input should be a valid string"),
    ("partnerTxnUid", ["RGH001"], "Input should be a valid string"),
    ("partnerTxnUid", b"RGH001", "Input should be a valid string"),
    ("tokenId", "", "String should have at least 1 character"),
    ("tokenId", "x" * 129, "String should have at most 128 characters"),
    ("tokenId", "a\tb", IDENTIFIER),
    ("tokenId", 5, "Input should be a valid string"),
    ("tokenId", {"id": "x"}, "Input should be a valid string"),
    ("reference1", "", "String should have at least 1 character"),
    ("reference1", "   ", TEXT),
    ("reference1", "a\0b", TEXT),
    ("reference1", "a\x7f", TEXT),
    ("reference1", "line\nbreak", TEXT),
    ("reference1", "x" * 129, "String should have at most 128 characters"),
    ("reference1", "a\udfff", "Input should be a valid string, unable to parse raw data"),
    ("reference1", 7.5, "Input should be a valid string"),
    ("partnerId", "", "String should have at least 1 character"),
    ("partnerId", "a\r\nX-Header: 1", IDENTIFIER),
    ("partnerId", "x" * 65, "String should have at most 64 characters"),
    ("partnerId", 0, "Input should be a valid string"),
    ("expiresAt", 1519630776000, MILLISECONDS),
    ("expiresAt", "1519630776000", MILLISECONDS),
    ("expiresAt", 10**400, MILLISECONDS),
    ("expiresAt", "9" * 5000, MILLISECONDS),
    ("expiresAt", float("nan"), MILLISECONDS),
    ("expiresAt", float("inf"), MILLISECONDS),
    ("expiresAt", 1e300, MILLISECONDS),
    ("expiresAt", float("-inf"), RANGE),
    ("expiresAt", -1e300, RANGE),
    ("expiresAt", -(10**400), RANGE),
    ("expiresAt", -(10**18), RANGE),
    ("expiresAt", 0, RANGE),
    ("expiresAt", "0.5", RANGE),
    ("expiresAt", 20260301, RANGE),
    ("expiresAt", "20260301", RANGE),
    ("expiresAt", "1999-12-31T23:59:59Z", RANGE),
    ("expiresAt", "2100-01-01T00:00:01Z", RANGE),
    ("expiresAt", "0001-01-01T00:00:00+14:00", RANGE),
    ("expiresAt", "9999-12-31T23:59:59-14:00", RANGE),
    ("expiresAt", "2026-03-01T12:00:00", OFFSET),
    ("expiresAt", "2026-03-01", OFFSET),
    ("expiresAt", "", INSTANT),
    ("expiresAt", "soon", INSTANT),
    ("expiresAt", "1e400", INSTANT),
    ("expiresAt", Decimal("1e400"), MILLISECONDS),
    ("expiresAt", Decimal("NaN"), MILLISECONDS),
    ("expiresAt", Decimal("sNaN"), "cannot convert signaling NaN to float"),
    ("expiresAt", Decimal(-1), RANGE),
    ("expiresAt", date(2026, 3, 1), INSTANT),
    ("expiresAt", time(12), INSTANT),
    ("expiresAt", "nan", INSTANT),
    ("expiresAt", "-5", INSTANT),
    ("expiresAt", "1_519_630_776", INSTANT),
    ("expiresAt", "²", INSTANT),
    ("expiresAt", "١٥١٩٦٣٠٧٧٦", INSTANT),
    ("expiresAt", "2026-02-30T12:00:00Z", INSTANT),
    ("expiresAt", True, INSTANT),
    ("expiresAt", False, INSTANT),
    ("expiresAt", [1519630776], INSTANT),
    ("expiresAt", {"at": 1519630776}, INSTANT),
]


@pytest.mark.parametrize(("key", "value", "told"), BAD, ids=lambda value: repr(value)[:25])
def test_bad_input_is_told_by_its_key(key: str, value: object, told: str) -> None:
    assert complaint(WHOLE | {key: value}).startswith(f"{key}: {told}")


@pytest.mark.parametrize("key", ["partnerTxnUid", "tokenId", "reference1"])
@pytest.mark.parametrize("absent", ["left out", "null"])
def test_a_mandatory_key_is_missed_by_name(key: str, absent: str) -> None:
    fields = {**WHOLE, key: None}
    if absent == "left out":
        del fields[key]
    assert complaint(fields) == f"{key}: Field required"


def test_an_empty_message_misses_all_that_is_mandatory() -> None:
    assert complaint({}) == (
        "partnerTxnUid: Field required; tokenId: Field required; reference1: Field required"
    )


def test_every_wrong_key_is_named_at_once() -> None:
    told = complaint({"partnerTxnUid": 5, "tokenId": "", "reference1": "\0", "expiresAt": True})
    assert [line.split(":")[0] for line in told.split("; ")] == [
        "partnerTxnUid",
        "tokenId",
        "reference1",
        "expiresAt",
    ]


def test_a_hint_with_a_partner_is_no_longer_a_hint() -> None:
    assert "tokenId: Field required" in complaint({"partnerTxnUid": "A", "partnerId": "P"})


def test_a_stricter_bound_on_the_uid_names_its_setting() -> None:
    told = "partnerTxnUid: must have at most 15 characters (KPLUS_UID_LENGTH)"
    assert complaint(WHOLE | {"partnerTxnUid": "x" * 16}, uid_length=15) == told
    with pytest.raises(InvalidOrder):
        read_order(WHOLE | {"partnerTxnUid": "x" * 16}, uid_length=15)
    assert isinstance(read_message(WHOLE | {"partnerTxnUid": "x" * 15}, uid_length=15), Order)


@pytest.mark.parametrize("uid", ["x" * 65, "ORDER 1", "ORDER\n1", "ใบสั่ง", "\x7f", " ", "x" * 999])
def test_the_uid_of_a_hint_is_any_text_that_a_row_may_hold(uid: str) -> None:
    """It is looked up, not judged: the row may be older than a rule, or came past it."""
    hint = read_message({"partnerTxnUid": uid}, uid_length=15)
    assert type(hint) is Hint
    assert hint.partner_txn_uid == uid


@pytest.mark.parametrize("uid", ["", "a\0", "\ud800", "a\udcff", 1, ["a"], b"a"])
def test_a_hint_that_no_row_can_answer_to_is_refused(uid: object) -> None:
    assert complaint({"partnerTxnUid": uid}).startswith("partnerTxnUid: ")


@pytest.mark.parametrize("key", [*WHOLE, "partnerId", "expiresAt", "partnerSecret", "unknown"])
@pytest.mark.parametrize(
    "value",
    ["canary\0", "canary " * 50, ["canary"], {"canary": "canary"}, b"canary", "²canary", "canary²"],
    ids=lambda value: repr(value)[:12],
)
def test_no_complaint_repeats_what_was_sent(key: str, value: object) -> None:
    wrong = WHOLE | {"reference1": "canary\n"} | {key: value}
    assert "canary" not in complaint(wrong | {"tokenId": ""})


def read(fields: dict[str, Any]) -> Hint | str:
    """Return the message, or what is said of it where it is refused."""
    try:
        return read_message(fields)
    except InvalidOrder as error:
        return str(error)


@given(
    st.dictionaries(
        st.sampled_from([*WHOLE, "partnerId", "expiresAt", "other"]) | st.text(max_size=5),
        json_values(),
    )
)
def test_any_message_is_read_or_refused_by_name(fields: dict[str, Any]) -> None:
    told = read(fields)
    if isinstance(told, Hint):
        assert told.partner_txn_uid == fields["partnerTxnUid"]
    else:
        assert told.split(":")[0] in {*WHOLE, "partnerId", "expiresAt"}


@given(st.integers() | st.floats() | st.text(max_size=30) | st.datetimes() | json_values())
def test_any_expiry_is_read_or_refused_by_name(value: object) -> None:
    told = read(WHOLE | {"expiresAt": value})
    if isinstance(told, Order):
        assert told.expires_at is None or 2000 <= told.expires_at.year <= 2100
    else:
        assert str(told).startswith("expiresAt: ")


def test_an_order_of_another_partner_is_the_same_but_for_that() -> None:
    order = read_order({"partnerTxnUid": "U1", "tokenId": "T1", "reference1": "R1"})
    assert order.of("P1").row() == order.row() | {"partner_id": "P1"}
    assert order.partner_id is None
    assert order.of("P1").of("P1") == order.of("P1")

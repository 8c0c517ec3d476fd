"""A manifest is read a line at a time; a line that cannot be read is named, and stops nobody."""

import io
import json
from collections.abc import Iterable

import pytest

from worker.domain.states import Outcome
from worker.errors import InvalidOrder, MissingPartner
from worker.jobs.manifest import LONGEST_LINE, ManifestEntry, RefusedLine, read_manifest

HEADER = "partnerTxnUid,tokenId,reference1,partnerId,expiresAt,expectedOutcome\n"


def resolve(partner_id: str | None) -> str:
    if partner_id is None:
        raise MissingPartner("partnerId is missing")
    return partner_id


def read(content: str | bytes) -> list[ManifestEntry | RefusedLine]:
    raw = content.encode() if isinstance(content, str) else content
    return list(read_manifest(io.BytesIO(raw), resolve=resolve, uid_length=15))


def refused(found: Iterable[ManifestEntry | RefusedLine]) -> list[tuple[int, str]]:
    return [(each.line, each.reason) for each in found if isinstance(each, RefusedLine)]


def uids(found: Iterable[ManifestEntry | RefusedLine]) -> list[str]:
    return [each.order.partner_txn_uid for each in found if isinstance(each, ManifestEntry)]


def test_csv_with_a_header_is_read_with_its_line_numbers() -> None:
    found = read(f"{HEADER}U1,T1,R 1,P1,1795305600,cancelled\n\nU2,T2,R2,P1,,\n")
    assert [each.line for each in found] == [2, 4]
    first, second = found
    assert isinstance(first, ManifestEntry)
    assert isinstance(second, ManifestEntry)
    assert (first.order.reference1, first.expected) == ("R 1", Outcome.CANCELLED)
    assert first.order.expires_at is not None
    assert first.order.expires_at.timestamp() == 1795305600
    assert (second.order.expires_at, second.expected) == (None, None)


def test_json_lines_are_read_in_both_spellings() -> None:
    one = {"partnerTxnUid": "U1", "tokenId": "T1", "reference1": "R", "partnerId": "P1", "x": 1}
    other = {"partner_txn_uid": "U2", "token_id": "T2", "reference1": "R", "partner_id": "P1"}
    assert uids(read("\n".join(map(json.dumps, (one, other))))) == ["U1", "U2"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_columns_may_stand_in_any_order_and_behind_a_byte_order_mark(delimiter: str) -> None:
    lines = (
        ("partner_id", "note", "reference1", "token_id", "partner_txn_uid"),
        ["P1", "n", "R", "T1", "U1"],
    )
    text = "\r\n".join(delimiter.join(line) for line in lines)
    assert uids(read(f"\ufeff{text}".encode())) == ["U1"]


def test_what_spreadsheets_quote_is_read() -> None:
    (found,) = read(f'{HEADER}U1,T1,"R, ""1""",P1,,\n')
    assert isinstance(found, ManifestEntry)
    assert found.order.reference1 == 'R, "1"'


def test_each_line_that_says_nothing_is_refused_and_the_rest_is_read() -> None:
    found = read(
        HEADER
        + "U1,T1,R,P1,,\n"
        + "U 2,T1,R,P1,,\n"
        + "U3,,R,P1,,\n"
        + "U4,T1,R,,,\n"
        + "U5,T1,R,P1,,gone\n"
        + "U6,T1,R\n"
        + "U7,T1,R,P1,yesterday,\n"
        + f"{'U' * 16},T1,R,P1,,\n"
        + "U9,T1,R,P1,,\n"
    )
    assert refused(found) == [
        (3, "invalid_fields"),
        (4, "invalid_fields"),
        (5, "missing_partner"),
        (6, "unknown_outcome"),
        (7, "not_csv"),
        (8, "invalid_fields"),
        (9, "invalid_fields"),
    ]
    assert uids(found) == ["U1", "U9"]
    assert "gone" not in str(found)
    assert "yesterday" not in str(found)


def test_a_line_that_is_no_json_object_is_refused_and_the_rest_is_read() -> None:
    good = '{"partnerTxnUid": "U1", "tokenId": "T1", "reference1": "R", "partnerId": "P1"}'
    deep = "[" * 30_000
    listed = good.replace("}", ', "expectedOutcome": ["cancelled"]}')
    found = read(f'{good}\n{{"partnerTxnUid"\n[1]\n{deep}\n{good}\n{listed}\n')
    told = [(2, "not_json"), (3, "not_json"), (4, "not_json"), (6, "unknown_outcome")]
    assert refused(found) == told
    assert uids(found) == ["U1", "U1"]


def test_bytes_that_are_no_text_are_refused() -> None:
    assert refused(read(HEADER.encode() + b"U1,T1,\xff\xfe,P1,,\n")) == [(2, "invalid_fields")]


def test_a_line_without_an_end_is_not_read_into_memory() -> None:
    endless = f'U1,T1,"{"x" * 5 * LONGEST_LINE}'
    found = read(f"{HEADER}{endless}\nU2,T2,R,P1,,\nU3,T3,R,P1,,\n")
    assert len(refused(found)) >= 1
    assert "x" * 200 not in str(found)


@pytest.mark.parametrize(
    "content", ["U1,T1,R\n", "partnerTxnUid,tokenId\nU1,T1\n", "\x00\n", "[]\n"]
)
def test_a_file_that_is_no_manifest_says_what_a_manifest_is(content: str) -> None:
    with pytest.raises(InvalidOrder, match="names partnerTxnUid, tokenId, reference1"):
        read(content)


@pytest.mark.parametrize("content", ["", "\n \n", HEADER])
def test_an_empty_manifest_names_nothing(content: str) -> None:
    assert read(content) == []

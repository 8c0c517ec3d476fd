"""No spreadsheet calculates an export, no terminal obeys it, and `import` reads it back."""

import csv
import io
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.cli.commands.export import COLUMNS, csv_rows
from worker.domain.cells import marked, unmarked
from worker.domain.events import FIELDS
from worker.jobs.manifest import ManifestEntry, read_manifest

anything = st.text(st.characters(exclude_categories=["Cs"]))
ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)
printed = st.text(min_size=1, max_size=128).filter(lambda text: text.isprintable() and text.strip())


def exported(**given: Any) -> str:
    """Return an export of one job."""
    file = io.StringIO(newline="")
    row = dict.fromkeys(COLUMNS) | {"cursor": "2026-03-01T12:00:00Z/U", "id": "evt_1"} | given
    csv_rows(file)(row)
    return file.getvalue()


def handed_in(text: str) -> list[object]:
    lines = io.BytesIO(text.encode())
    return list(read_manifest(lines, resolve=lambda partner: partner or "P", uid_length=64))


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+66", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "'=1", "'"),
        *("\x1b[2J", "\x9b2J", "a\x7f", "a\u202eb", "a\u200bb", "a\nb", "\0", "\ufeffx"),
    ],
)
def test_a_formula_or_a_control_character_is_marked(text: str) -> None:
    cell = str(marked(text))
    assert cell.startswith("'")
    assert cell.isprintable()
    assert unmarked(cell) == text


@pytest.mark.parametrize("value", ["U-1", "a=b", "a'b", "a\\b", "รหัส 1", "", 5, None, True])
def test_what_is_harmless_stays_as_it_is(value: object) -> None:
    assert marked(value) is value


@given(anything)
@example("'\\u0041")
@example("=\\")
def test_a_mark_can_be_taken_off_again(text: str) -> None:
    cell = marked(text)
    assert isinstance(cell, str)
    assert unmarked(cell) == text
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))


@given(st.fixed_dictionaries(dict.fromkeys(FIELDS, anything)))
def test_every_text_of_an_export_is_one_line_of_csv(texts: dict[str, str]) -> None:
    lines = exported(**texts).split("\n")
    assert len(lines) == 3
    (cells,) = csv.reader([lines[1]])
    assert [unmarked(cell) for cell in cells][2:] == [texts[name] for name in FIELDS]


@given(uid=ids, partner=ids, token=ids, reference=printed, said=anything)
@example(uid="=1+1", partner="-P", token="@T", reference="'+66 2", said='a\r\n\x1b,"b')
def test_our_own_export_is_read_back_unchanged(
    uid: str, partner: str, token: str, reference: str, said: str
) -> None:
    text = exported(
        partnerTxnUid=uid, partnerId=partner, tokenId=token, reference1=reference, tokenStatus=said
    )
    (entry,) = handed_in(text)
    assert isinstance(entry, ManifestEntry)
    order = entry.order
    assert (order.partner_txn_uid, order.partner_id) == (uid, partner)
    assert (order.token_id, order.reference1) == (token, reference)


def test_a_mark_is_a_mark_in_our_own_export_only() -> None:
    """The order system's own list may hold an id that begins with an apostrophe."""
    (entry,) = handed_in("partnerTxnUid,tokenId,reference1,partnerId\n'=1,'T,'\\\\,P\n")
    assert isinstance(entry, ManifestEntry)
    order = entry.order
    assert (order.partner_txn_uid, order.token_id, order.reference1) == ("'=1", "'T", "'\\\\")

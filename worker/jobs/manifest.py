"""
The order system's list of orders to be cancelled: CSV with a header, or JSON Lines.

It is read line by line, so that it may have any length. A line that cannot be read does not end
the reading: it is refused with its number and the reason, never with its content. Our own export
can be read too.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

from worker.domain.cells import OWN_COLUMNS, unmarked
from worker.domain.orders import MAX_UID_LENGTH, Order, read_order
from worker.domain.states import Outcome
from worker.errors import InvalidOrder

LONGEST_LINE = 64 * 1024
"""Bytes. Of a longer line only the beginning is read."""
_FIELDS = {
    "partnerTxnUid": "partner_txn_uid",
    "tokenId": "token_id",
    "reference1": "reference1",
    "partnerId": "partner_id",
    "expiresAt": "expires_at",
    "expectedOutcome": "expected_outcome",
}
_SPELLINGS = {name: name for name in _FIELDS} | {field: name for name, field in _FIELDS.items()}
_MANDATORY = ("partnerTxnUid", "tokenId", "reference1")
_EXPECTED = "expectedOutcome"
_OUTCOMES = frozenset(map(str, Outcome))

Resolve = Callable[[str | None], str]


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One order that should be cancelled, and its expected outcome if the line has one."""

    line: int
    order: Order
    expected: Outcome | None = None


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that cannot be used: `reason` is a stable word, `detail` a sentence."""

    line: int
    reason: str
    detail: str


def read_manifest(
    stream: BinaryIO, *, resolve: Resolve, uid_length: int = MAX_UID_LENGTH
) -> Iterator[ManifestEntry | RefusedLine]:
    """
    Yield the entry of each line, in order. Blank lines are skipped.

    `resolve` returns the partner of an order that names none, or raises `InvalidOrder`. Raises
    `InvalidOrder` if the first line is neither a JSON object nor a header with the mandatory
    columns.
    """
    lines = _lines(stream)
    first = next(lines, None)
    if first is None:
        return
    read = _json if first[1].startswith("{") else _csv
    for line, fields in read(chain([first], lines)):
        yield (
            fields if isinstance(fields, RefusedLine) else _entry(line, fields, resolve, uid_length)
        )


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers, each cut to the longest length."""
    number, first = 0, True
    while line := stream.readline(LONGEST_LINE):
        number += 1
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(LONGEST_LINE)):
            pass
        # Bytes that are not UTF-8 become surrogates, which no order may contain.
        text = line.decode("utf-8-sig" if first else "utf-8", "surrogateescape")
        if text.strip():
            first = False
            yield number, text


def _json(
    lines: Iterator[tuple[int, str]],
) -> Iterator[tuple[int, Mapping[str, Any] | RefusedLine]]:
    for number, text in lines:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            yield number, RefusedLine(number, "not_json", "the line is not JSON")
            continue
        if isinstance(found, dict):
            yield number, {_SPELLINGS[key]: found[key] for key in found if key in _SPELLINGS}
        else:
            yield number, RefusedLine(number, "not_json", "the line is not a JSON object")


def _csv(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, Mapping[str, Any] | RefusedLine]]:
    _, header = next(lines)
    delimiter, columns = _columns(header)
    ours = OWN_COLUMNS.issubset(columns)
    last = 1

    def texts() -> Iterator[str]:
        nonlocal last
        for number, text in lines:
            last = number
            yield text

    rows = csv.reader(texts(), delimiter=delimiter)
    while True:
        try:
            cells = next(rows, None)
        except csv.Error:
            yield last, RefusedLine(last, "not_csv", "the line is not CSV")
            continue
        if cells is None:
            return
        if len(cells) != len(columns):
            detail = f"the line has {len(cells)} columns, the header {len(columns)}"
            yield last, RefusedLine(last, "not_csv", detail)
            continue
        if ours:
            cells = list(map(unmarked, cells))
        named = zip(columns, cells, strict=True)
        yield last, {_SPELLINGS[name]: cell for name, cell in named if cell and name in _SPELLINGS}


def _columns(header: str) -> tuple[str, list[str]]:
    """Return the delimiter and the names of the columns."""
    for delimiter in ",;\t":
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter))]
        if {_SPELLINGS.get(name) for name in names}.issuperset(_MANDATORY):
            return delimiter, names
    raise InvalidOrder(
        "the manifest begins neither with a JSON object nor with a CSV header that names "
        f"{', '.join(_MANDATORY)}"
    )


def _entry(
    line: int, fields: Mapping[str, Any], resolve: Resolve, uid_length: int
) -> ManifestEntry | RefusedLine:
    given = {name: value for name, value in fields.items() if value is not None}
    expected = given.pop(_EXPECTED, None)
    if expected is not None and not (isinstance(expected, str) and expected in _OUTCOMES):
        detail = f"{_EXPECTED}: must be one of {', '.join(Outcome)}"
        return RefusedLine(line, "unknown_outcome", detail)
    try:
        order = read_order(given, uid_length=uid_length)
        if order.partner_id is None:
            order = order.of(resolve(None))
    except InvalidOrder as error:
        return RefusedLine(line, error.reason, str(error))
    return ManifestEntry(line, order, Outcome(expected) if expected else None)

r"""
Cells of a CSV file that a spreadsheet does not calculate, and a terminal does not obey. Pure.

A text that could be taken for a formula, or that holds characters nobody sees, is marked: it
begins with `'`, and those characters and `\` are written out. `unmarked` gives back the text.
"""

import re
from typing import Final

from worker.telemetry.printable import is_seen

MARK: Final = "'"
OWN_COLUMNS: Final = frozenset({"cursor", "id"})
"""A file with these columns is our own export: only there is a mark a mark."""
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|U([0-9a-f]{8})|\\)")
_LAST_OF_FOUR_DIGITS = 0xFFFF


def marked(value: object) -> object:
    """Return a value as a cell; only a text is ever marked."""
    if not isinstance(value, str):
        return value
    suspect = value.startswith(MARK) or value.lstrip().startswith(_FORMULA)
    if suspect or not all(map(is_seen, value)):
        return MARK + "".join(map(_written, value))
    return value


def unmarked(cell: str) -> str:
    """Return the text of a cell that `marked` has made."""
    if not cell.startswith(MARK):
        return cell
    return _ESCAPE.sub(_read, cell.removeprefix(MARK))


def _written(char: str) -> str:
    if char == "\\":
        return "\\\\"
    if is_seen(char):
        return char
    return f"\\u{ord(char):04x}" if ord(char) <= _LAST_OF_FOUR_DIGITS else f"\\U{ord(char):08x}"


def _read(found: re.Match[str]) -> str:
    digits = found[1] or found[2]
    if not digits:
        return "\\"
    number = int(digits, 16)
    return chr(number) if number <= 0x10FFFF else found.group()  # noqa: PLR2004 - the end of Unicode

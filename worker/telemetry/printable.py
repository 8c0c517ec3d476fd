"""Characters that a terminal would obey, or that no reader sees: written out instead."""

import re
from collections.abc import Callable

# Beyond what `str.isprintable` finds, Unicode has characters of no width or without a shape.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_SUSPECT = re.compile(r"[^ -~]")
_LAST_OF_FOUR_DIGITS = 0xFFFF


def printable(text: str, *, keep: str = "") -> str:
    r"""
    Return a text in which every character can be seen: the others are written as `\x1b`.

    Those are the control characters (C0, C1, DEL), what turns the direction of writing, what has
    no width, and lone surrogates. `keep` names characters that stay, such as a line break.
    """
    return _replaced(text, keep, lambda char: ascii(char)[1:-1])


def printable_json(text: str) -> str:
    """Return a JSON document as `printable` does, with JSON's escapes: it means the same."""
    if text.isascii() and "\x7f" not in text:  # JSON itself has written out the others
        return text
    return _replaced(text, "\n", _json_escape)


def is_seen(char: str) -> bool:
    """Say whether a character can be seen, and is not obeyed by a terminal."""
    return char.isprintable() and not _UNSEEN.match(char)


def _replaced(text: str, keep: str, write: Callable[[str], str]) -> str:
    if text.isascii() and text.isprintable():
        return text
    return _SUSPECT.sub(
        lambda found: char if is_seen(char := found.group()) or char in keep else write(char),
        text,
    )


def _json_escape(char: str) -> str:
    if ord(char) <= _LAST_OF_FOUR_DIGITS:
        return f"\\u{ord(char):04x}"
    pair = char.encode("utf-16-be").hex()
    return f"\\u{pair[:4]}\\u{pair[4:]}"

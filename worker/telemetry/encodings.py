"""
What a text says once its encodings are taken off: escapes, base64, hexadecimal, and their mixes.

Every step is one pass over the text, and there are at most `DEPTH` steps: the time is linear in
the text, whoever wrote it.
"""

import re
import string
from binascii import a2b_base64, a2b_hex
from collections.abc import Iterator
from functools import lru_cache
from html.entities import html5

DEPTH = 3
"""So many encodings may lie over each other."""

_PERCENT = rb"%(?:[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})"
_BACKSLASH = (  # JSON, JavaScript, Python, C, PHP
    rb"\\(?:u[dD][89ABab][0-9A-Fa-f]{2}\\u[dD][C-Fc-f][0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}"
    rb"|U[0-9A-Fa-f]{8}|u\{[0-9A-Fa-f]{1,8}\}|x[0-9A-Fa-f]{2}|[0-3][0-7]{2}|.)"
)
_ENTITY = (  # HTML, XML
    rb"&(?:#[0-9]{1,8};?|#[Xx][0-9A-Fa-f]{1,7};?|[A-Za-z][A-Za-z0-9]{1,31};"
    rb"|amp|lt|gt|quot)"
)
# One pass for all of them, since a text may mix them; and each alone, since to one kind the signs
# of another are ordinary characters.
_ESCAPE = re.compile(b"|".join((_PERCENT, _BACKSLASH, _ENTITY)), re.DOTALL)
_KINDS = {
    b"%": re.compile(_PERCENT),
    b"\\": re.compile(_BACKSLASH, re.DOTALL),
    b"&": re.compile(_ENTITY),
}
_QUOTED_PRINTABLE = re.compile(rb"=(?:[0-9A-Fa-f]{2}|[ \t]{0,8}\r?\n)")
_BACKSLASHED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"0": b"\0"}
_GAPS = bytes([*range(0x21), 0x7F])
_PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " \t\r\n"
_READABLE_RUN = b"x" * 9
"""Of at least eight characters one is encoded, which takes two more at least."""
_READABLE = bytes(ord("x") if chr(each) in _PRINTABLE else 0 for each in range(128)) + bytes(128)
_PRINTABLE_RUN = re.compile(rb"[\t\n\r -~]{9,}+")
_HEX_CHAIN_MARKS = re.compile(rb"(?<![0-9A-Fa-f])0[Xx]|[:,-]")
"""A `0x` behind a digit is the end of one byte and a word that follows it."""
_DECIMAL = re.compile(rb"[0-9]{1,3}+")
_CHAIN = 4
"""From so many marks between them on, digits are read as a list of bytes."""
_BYTE_VALUES = 256
_BASE64_GROUP, _HEX_GROUP = 4, 2


def _table(alphabet: bytes, other: bytes) -> bytes:
    """Return a table of `bytes.translate` that keeps an alphabet and replaces all else."""
    return bytes(each if each in alphabet else other[0] for each in range(_BYTE_VALUES))


_HEX_DIGITS = _table(string.hexdigits.encode(), b"0")
_BASE64_DIGITS = (string.ascii_letters + string.digits + "+/-_").encode()
_BASE64 = _table(_BASE64_DIGITS, b"A").translate(bytes.maketrans(b"-_", b"+/"))


def squeezed(text: bytes) -> bytes:
    """Return a text without blanks, line breaks, NULs (UTF-16) and other control characters."""
    return text.translate(None, _GAPS)


def unescaped(text: bytes) -> bytes:
    """Return a text without one layer of escapes."""
    return _ESCAPE.sub(_unescape, text)


def views(
    text: bytes,
    *,
    shortest: int,
    plus_is_blank: bool = False,
    apart: bool = False,
    unpack: bool = True,
) -> Iterator[tuple[bytes, bool]]:
    """
    Yield a text as it is, and as it reads without up to `DEPTH` layers of encodings.

    True beside a view says that it is no text: it is all that base64 and hexadecimal may stand
    for, unless `unpack` is False. With `apart` each of those ends where the text does. Left out is
    what is shorter than `shortest`. `plus_is_blank` reads `+` as a blank too, as forms do: that is
    a second reading of a layer, and no layer of its own.
    """
    yield text, False
    level = list(_readings(_without_nuls(text), plus_is_blank=plus_is_blank))
    yield from ((each, False) for each in level[1:])
    seen = {text, *level}
    for depth in range(DEPTH):
        below: list[bytes] = []
        for view in level:
            dense = squeezed(view)
            # Four characters of base64 are three bytes.
            long_enough = unpack and 3 * len(dense) >= 4 * shortest
            packed = _unpacked(dense, apart=apart) if long_enough else []
            yield from ((each, True) for each in packed)
            for decoded in _decoded(view, packed, first=depth == 0):
                child = _without_nuls(decoded)  # UTF-16 below another encoding
                for reading in _readings(child, plus_is_blank=plus_is_blank):
                    if len(reading) >= shortest and reading not in seen:
                        seen.add(reading)
                        below.append(reading)
                        yield reading, False
        if not below:
            return
        level = below


def _readings(view: bytes, *, plus_is_blank: bool) -> tuple[bytes, ...]:
    """Return a view as it is, and as a form would read it."""
    if plus_is_blank and b"+" in view:
        return view, view.replace(b"+", b" ")
    return (view,)


def _decoded(view: bytes, packed: list[bytes], *, first: bool) -> Iterator[bytes]:
    """Yield what a text reads without one layer."""
    kinds = [kind for sign, kind in _KINDS.items() if sign in view]
    dense = squeezed(view)
    if kinds:
        yield unescaped(dense)  # a line may end within an escape
    if kinds and first:  # with its blanks, which part words
        yield unescaped(view)
    if first and len(kinds) > 1:
        yield from (kind.sub(_unescape, view) for kind in kinds)
    if b"=" in view:
        yield _QUOTED_PRINTABLE.sub(_unescape_quoted, view)
        yield _QUOTED_PRINTABLE.sub(_unescape_quoted, dense)
    for each in packed:
        # Among the bytes, what can be read: it may be encoded itself.
        if _READABLE_RUN in each.translate(_READABLE):
            yield b"\n".join(_PRINTABLE_RUN.findall(each))


def _unpacked(text: bytes, *, apart: bool) -> list[bytes]:
    """
    Return the bytes that base64 and hexadecimal anywhere in a text may stand for.

    The whole text is decoded, once from each of the first places: so it does not matter where
    what is encoded begins. What is no digit counts as zero.
    """
    found = _from_base64(text.translate(_BASE64), apart=apart)
    found += _from_hex(text.translate(_HEX_DIGITS), apart=apart)
    commas = text.count(b",")
    if commas + text.count(b":") + text.count(b"-") >= _CHAIN:
        chained = _HEX_CHAIN_MARKS.sub(b"", text).translate(_HEX_DIGITS)
        found += _from_hex(chained, apart=apart)
    if commas >= _CHAIN:
        numbers = map(int, _DECIMAL.findall(text))
        found.append(bytes(each for each in numbers if each < _BYTE_VALUES))
    if apart:
        return list(map(_without_nuls, found))
    return [_without_nuls(b"\xff".join(found))]


def _from_base64(digits: bytes, *, apart: bool) -> list[bytes]:
    """Decode from each of the first four places; all in one call, unless they are kept apart."""
    if len(digits) < _BASE64_GROUP:
        return []
    zeros = (b"", b"A", b"AA", b"AAA")
    left = -len(digits)
    parts = (
        digits + zeros[left % 4],
        digits[1:] + zeros[(left + 1) % 4],
        digits[2:] + zeros[(left + 2) % 4],
        digits[3:] + zeros[(left + 3) % 4],
    )
    return list(map(a2b_base64, parts)) if apart else [a2b_base64(b"".join(parts))]


def _from_hex(digits: bytes, *, apart: bool) -> list[bytes]:
    """Decode from each of the first two places."""
    if len(digits) < _HEX_GROUP:
        return []
    parts = (digits + b"0", digits[1:]) if len(digits) % 2 else (digits, digits[1:] + b"0")
    return list(map(a2b_hex, parts)) if apart else [a2b_hex(b"".join(parts))]


def _without_nuls(text: bytes) -> bytes:
    """Return a text as if ASCII in UTF-16 or UTF-32 were plain ASCII."""
    return text.replace(b"\0", b"")


def _unescape(found: re.Match[bytes]) -> bytes:
    return _character_of(found.group())


@lru_cache(maxsize=4096)
def _character_of(escape: bytes) -> bytes:
    kind, rest = escape[:1], escape[1:]
    if kind == b"%":
        return _character(rest[1:]) if rest[:1] == b"u" else a2b_hex(rest)
    return _from_entity(rest) if kind == b"&" else _from_backslash(rest)


def _from_backslash(rest: bytes) -> bytes:
    if len(rest) == 1:
        return _BACKSLASHED.get(rest, rest)
    if rest[:1] == b"x":
        return a2b_hex(rest[1:])
    if rest[:1] not in b"uU":
        return bytes([int(rest, 8)])
    if b"\\" in rest:  # a pair of surrogates
        return a2b_hex(rest[1:5] + rest[7:]).decode("utf-16-be", "replace").encode()
    return _character(rest[1:].strip(b"{}"))


def _from_entity(rest: bytes) -> bytes:
    name = rest.rstrip(b";")
    if name[:2] in {b"#x", b"#X"}:
        return _character(name[2:])
    if name[:1] == b"#":
        return _character(b"%x" % int(name[1:]))
    return html5.get(f"{name.decode()};", f"&{rest.decode()}").encode()


def _character(digits: bytes) -> bytes:
    """Return the character of a number in hexadecimal, as UTF-8; nothing if there is none."""
    number = int(digits, 16)
    return chr(number).encode("utf-8", "surrogatepass") if number <= 0x10FFFF else b""  # noqa: PLR2004 - the end of Unicode


def _unescape_quoted(found: re.Match[bytes]) -> bytes:
    digits = found.group()[1:]
    return b"" if digits.isspace() else a2b_hex(digits)

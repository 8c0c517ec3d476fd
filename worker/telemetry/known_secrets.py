"""
The secrets of this process, and where a text holds one: in any encoding, any mix of encodings.

A secret stays known until the process ends: after a rotation the old one is still a secret.
"""

import re
import string
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from worker.telemetry.credentials import REDACTED
from worker.telemetry.encodings import DEPTH, squeezed, unescaped, views

MIN_SECRET_LENGTH = 4
"""Shorter values are not redacted: they would remove ordinary text and protect nothing."""
MIN_SURE_LENGTH = 8
"""A shorter secret only counts as a whole word: it may be a part of ordinary words."""
MIN_CUT_LENGTH = 6
"""So much of the beginning of a secret counts where a text breaks off."""
_WINDOW = 128
_MOST_REPLACED = 32
_LONGEST_ESCAPE = 10
_PACKED_DIGITS = string.ascii_letters + string.digits + "+/-_=]"
"""How base64, hexadecimal and lists of numbers may end."""
_HALF_ESCAPE = re.compile(
    r"(?:%[0-9A-Fa-f]?|\\(?:[Uu][0-9A-Fa-f]{0,7}|x[0-9A-Fa-f]?)?|&[#A-Za-z0-9]{0,8})\Z"
)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is looked for: longer secrets first, since one may be a part of another."""

    plain: tuple[str, ...] = ()
    needles: tuple[bytes, ...] = ()
    inner: tuple[bytes, ...] = ()
    inner_packed: tuple[bytes, ...] = ()
    words: re.Pattern[str] | None = None
    words_in_bytes: re.Pattern[bytes] | None = None
    has_blanks: bool = False
    shortest: int = 0
    longest: int = 0

    def views(
        self, text: str, *, apart: bool = False, unpack: bool = True
    ) -> Iterator[tuple[bytes, bool]]:
        """Yield all views of a text that may hold a secret."""
        return views(
            _as_bytes(text),
            shortest=self.shortest,
            plus_is_blank=self.has_blanks,
            apart=apart,
            unpack=unpack,
        )


@dataclass(slots=True)
class _Registry:
    secrets: frozenset[str] = frozenset()
    known: _Known = field(default_factory=_Known)
    lock: threading.Lock = field(default_factory=threading.Lock)


_registry = _Registry()


def register(secrets: Iterable[str]) -> bool:
    """Add secrets; return whether any is new."""
    with _registry.lock:
        given = frozenset(each for each in secrets if len(each.strip()) >= MIN_SECRET_LENGTH)
        if given <= _registry.secrets:
            return False
        _registry.secrets |= given
        _registry.known = _prepared(_registry.secrets)
        return True


@contextmanager
def restored() -> Iterator[None]:
    """Put back at the end what was registered at the beginning."""
    secrets, known = _registry.secrets, _registry.known
    yield
    with _registry.lock:
        _registry.secrets, _registry.known = secrets, known


def _prepared(secrets: frozenset[str]) -> _Known:
    ordered = sorted(secrets, key=lambda each: (-len(each), each))
    sure = [each for each in ordered if len(squeezed(_as_bytes(each))) >= MIN_SURE_LENGTH]
    words = [re.escape(each) for each in ordered if each not in sure]
    # A word ends where no letter, digit, dash or inner dot follows: `kplus` is no part of
    # `kplus-cancel`, nor of `kplus.cancel_token`.
    pattern = rf"(?<![\w-])(?<!\w\.)(?:{'|'.join(words)})(?![\w-]|\.\w)"
    needles = dict.fromkeys(needle for each in sure for needle in _needles(each))
    inner_packed = tuple(dict.fromkeys(_inner(each, MIN_CUT_LENGTH) for each in needles))
    return _Known(
        plain=tuple(sure),
        needles=tuple(needles),
        inner=tuple(dict.fromkeys(_inner(each, MIN_SURE_LENGTH) for each in needles)),
        inner_packed=inner_packed,
        words=re.compile(pattern) if words else None,
        words_in_bytes=re.compile(pattern.encode()) if words else None,
        has_blanks=any(char.isspace() for each in sure for char in each),
        shortest=MIN_SECRET_LENGTH if words else min(map(len, inner_packed)),
        longest=max(map(len, needles), default=0),
    )


def _inner(needle: bytes, least: int) -> bytes:
    """
    Return what is left of a secret in base64 that is cut on both sides, if it is long enough.

    Groups of three bytes are lost: two of the secret or fewer before it, three or fewer behind.
    """
    inner = needle[2 : max(len(needle) - 3, 2 + least)]
    return inner if len(inner) >= least else needle


def _needles(secret: str) -> list[bytes]:
    """
    Return a secret as the views of a text show it.

    A view may have taken more encodings off than the secret was given: what looks like an escape
    in the secret itself is gone there too.
    """
    raw = _as_bytes(secret)
    found = [raw]
    if not secret.isascii():  # ASCII in UTF-16 and UTF-32 is itself, but for the NULs
        wide = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "latin-1", "cp874")
        found += [secret.encode(coding, "ignore") for coding in wide]
    for _ in range(DEPTH):
        raw = unescaped(raw)
        found.append(raw)
    return [each for each in map(squeezed, found) if len(each) >= MIN_SURE_LENGTH]


def without_known(text: str, *, may_be_cut: bool = False) -> str:
    """
    Return a text with `REDACTED` for every known secret in it, and for most of one.

    One that `may_be_cut` off does not end with the beginning of a secret either.
    """
    held = holds_known(text)
    # First what breaks off: another secret may be the beginning of that one.
    if held and may_be_cut and _breaks_off(text):
        text = text[: _before_whole(text, _last_start(text, _breaks_off))] + REDACTED
    if held:
        text = _without_whole(text)
    if may_be_cut and _breaks_off(text):
        text = text[: _last_start(text, _breaks_off)] + REDACTED
    # What is only most of a secret comes last: its ends stay beside the mark.
    return _without_encoded(text, holds_known) if held else text


def _before_whole(text: str, at: int) -> int:
    """Return a place in a text, or the one before it where a whole secret begins that it splits."""
    for secret in _registry.known.plain:
        found = text.find(secret, max(0, at - len(secret) + 1))
        if 0 <= found < at:
            at = found
    return at


def _without_whole(text: str) -> str:
    known = _registry.known
    for secret in known.plain:
        text = text.replace(secret, REDACTED)
    if known.words is not None:
        text = known.words.sub(REDACTED, text)
    return _without_encoded(text, _holds_whole)


def holds_known(text: str) -> bool:
    """Say whether a text holds a secret, or most of one, in any encoding."""
    known = _registry.known
    if not known.needles and known.words is None:
        return False
    if len(text) < known.shortest and text.isascii():  # as most ids are
        return False
    return any(
        _is_in(view, known.inner_packed if packed else known.inner, known.words_in_bytes)
        for view, packed in known.views(text)
    )


def _holds_whole(text: str) -> bool:
    known = _registry.known
    return any(
        _is_in(view, known.needles, known.words_in_bytes) for view, _packed in known.views(text)
    )


def _is_in(view: bytes, needles: Iterable[bytes], words: re.Pattern[bytes] | None) -> bool:
    dense = squeezed(view)
    for needle in needles:
        if needle in dense:
            return True
    return words is not None and bool(words.search(view))


def _breaks_off(text: str) -> bool:
    """Say whether a text ends with the beginning of a secret, in any encoding."""
    known = _registry.known
    if not known.needles:
        return False
    whole = _HALF_ESCAPE.sub("", text[-_LONGEST_ESCAPE:])
    for end in {text, text[:-_LONGEST_ESCAPE] + whole}:
        for view, _packed in known.views(end, apart=True, unpack=end[-1:] in _PACKED_DIGITS):
            tail = squeezed(view[-2 * known.longest :])
            if any(_ends_with_start(tail, needle) for needle in known.needles):
                return True
    return False


def _ends_with_start(tail: bytes, needle: bytes) -> bool:
    """Say so too if one more byte follows: base64 that is cut off may end with half a byte."""
    at = tail.rfind(needle[:MIN_CUT_LENGTH])
    while at >= 0:
        if needle.startswith((tail[at:], tail[at:-1])):
            return True
        at = tail.rfind(needle[:MIN_CUT_LENGTH], 0, at + MIN_CUT_LENGTH - 1)
    return False


def _without_encoded(text: str, holds: Callable[[str], bool]) -> str:
    """
    Replace what is found in an encoding only.

    A window grows until it holds a secret, and is then narrowed to it by halves: the time
    grows with the text and with the number of secrets in it, and not with their product.
    """
    kept, start, size = [], 0, _WINDOW
    while start < len(text):
        window = text[start : start + size]
        if holds(window):
            end = bisect_left(range(len(window)), 1, key=lambda at: holds(window[:at]))
            begin = _last_start(window[:end], holds)
            kept += [window[:begin], REDACTED]
            start, size = start + end, _WINDOW
            if len(kept) <= _MOST_REPLACED:  # most echoes are alike
                text = text[:start] + text[start:].replace(window[begin:end], REDACTED)
        elif start + size < len(text):
            size *= 2
        else:
            break
    return "".join([*kept, text[start:]])


def _last_start(text: str, holds: Callable[[str], bool]) -> int:
    """Return where the shortest end of a text begins that still holds a secret."""
    return bisect_left(range(len(text)), 1, key=lambda at: not holds(text[at:])) - 1


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")

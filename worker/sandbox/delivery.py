"""How an answer is sent: complete, in parts, broken, or not at all."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from worker.sandbox import wire
from worker.sandbox.answers import Draft

_PADDING = b" " * 65_536
_MEGABYTE = 1_048_576

Frames = Callable[[Draft, float], Iterator[bytes]]


class End(Enum):
    """What happens to the connection after the answer."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()


@dataclass(frozen=True, slots=True)
class Transmission:
    """The frames of an answer, the pause between them, and the end of the connection."""

    frames: Frames
    end: End = End.KEEP
    # Whether the scenario's number is the pause between frames, in milliseconds.
    drips: bool = False
    # Whether a client that waits long enough receives the whole answer.
    whole: bool = True


def content(draft: Draft) -> bytes:
    """Return the body that is sent."""
    return wire.as_json(draft.answer) if draft.raw is None else draft.raw


def _head(draft: Draft, length: int) -> bytes:
    return wire.head(draft.http_status, draft.headers | {"Content-Length": str(length)})


def _in_order(draft: Draft, _number: float) -> Iterator[bytes]:
    body = content(draft)
    yield _head(draft, len(body)) + body


def _nothing(_draft: Draft, _number: float) -> Iterator[bytes]:
    yield from ()


def _half_a_head(draft: Draft, _number: float) -> Iterator[bytes]:
    yield _head(draft, 300)[:40]


def _half_a_body(draft: Draft, _number: float) -> Iterator[bytes]:
    body = content(draft)
    yield _head(draft, len(body)) + body[: len(body) // 2]


def _byte_by_byte(draft: Draft, _number: float) -> Iterator[bytes]:
    body = content(draft)
    text = _head(draft, len(body)) + body
    yield from (text[at : at + 1] for at in range(len(text)))


def _body_by_byte(draft: Draft, _number: float) -> Iterator[bytes]:
    body = content(draft)
    yield _head(draft, len(body))
    yield from (body[at : at + 1] for at in range(len(body)))


def _huge(draft: Draft, megabytes: float) -> Iterator[bytes]:
    body, padding = content(draft), int(megabytes * _MEGABYTE)
    yield _head(draft, len(body) + padding)
    while padding > 0:
        yield _PADDING[:padding]
        padding -= len(_PADDING)
    yield body


def _chunked(draft: Draft, _number: float) -> Iterator[bytes]:
    body = content(draft)
    yield _chunked_head(draft)
    yield _chunk(body[:7]) + _chunk(body[7:]) + b"0\r\n\r\n"


def _endless(draft: Draft, _number: float) -> Iterator[bytes]:
    yield _chunked_head(draft)
    yield from itertools.repeat(_chunk(_PADDING))


def _endless_head(draft: Draft, _number: float) -> Iterator[bytes]:
    yield _head(draft, 0)[:-2]
    yield from (b"X-Page-%d: %s\r\n" % (page, b"x" * 4096) for page in itertools.count())


def _until_closed(draft: Draft, _number: float) -> Iterator[bytes]:
    yield wire.head(draft.http_status, draft.headers | {"Connection": "close"}) + content(draft)


def _too_short(draft: Draft, _number: float) -> Iterator[bytes]:
    body = content(draft)
    yield _head(draft, len(body) - 10) + body


def _with_stray(draft: Draft, _number: float) -> Iterator[bytes]:
    stray = wire.as_json({"statusCode": "00", "tokenList": [], "stray": True})
    body = content(draft)
    yield (
        _head(draft, len(body)) + body + wire.head(200, {"Content-Length": str(len(stray))}) + stray
    )


def _after_hints(draft: Draft, _number: float) -> Iterator[bytes]:
    yield b"HTTP/1.1 103 Early Hints\r\nLink: </>; rel=preload\r\n\r\n"
    yield from _in_order(draft, 0)


def _not_http(draft: Draft, _number: float) -> Iterator[bytes]:
    yield b"220 mail.example ESMTP ready\r\n\r\n" + content(draft)


def _chunked_head(draft: Draft) -> bytes:
    return wire.head(draft.http_status, draft.headers | {"Transfer-Encoding": "chunked"})


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


IN_ORDER = Transmission(_in_order)
RESET = Transmission(_nothing, End.RESET, whole=False)
CLOSED = Transmission(_nothing, End.CLOSE, whole=False)
HALF_A_HEAD = Transmission(_half_a_head, End.CLOSE, whole=False)
HALF_A_BODY = Transmission(_half_a_body, End.CLOSE, whole=False)
HALF_THEN_RESET = Transmission(_half_a_body, End.RESET, whole=False)
DRIPPING_HEAD = Transmission(_byte_by_byte, drips=True)
DRIPPING_BODY = Transmission(_body_by_byte, drips=True)
HUGE = Transmission(_huge)
CHUNKED = Transmission(_chunked)
ENDLESS = Transmission(_endless, End.CLOSE, whole=False)
ENDLESS_HEAD = Transmission(_endless_head, End.CLOSE, whole=False)
UNTIL_CLOSED = Transmission(_until_closed, End.CLOSE)
TOO_SHORT = Transmission(_too_short, End.CLOSE, whole=False)
WITH_STRAY = Transmission(_with_stray)
AFTER_HINTS = Transmission(_after_hints)
NOT_HTTP = Transmission(_not_http, End.CLOSE, whole=False)
THEN_CLOSED = Transmission(_in_order, End.CLOSE)

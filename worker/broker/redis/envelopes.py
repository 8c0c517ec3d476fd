"""Turns any item of a queue into an envelope that kombu can deliver and restore."""

import base64
import binascii
import json
from typing import Final
from uuid import uuid4

from worker.broker.app import CANCEL_TOKEN
from worker.broker.sealed import COMPRESSION, UNREADABLE

MAX_ITEM: Final = 1024 * 1024
"""Larger items are not parsed. A cancel message is a thousandth of this."""

MAX_KEPT: Final = 64 * 1024
STEPS: Final = (0, 3, 6, 9)
"""kombu's own priorities. A producer may have others, up to the same bound."""
HINT: Final = "kplus-hint"
"""The key of an envelope that says whether the message is a hint; no sender can set it."""
LONGEST_HINT: Final = 400
"""Bytes of a body; Celery's own of a uid has 150."""


class UnreadableItem(Exception):
    """A queue item that is no Celery message; `reason` is a stable word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def envelope(item: bytes, *, queue: str) -> str:
    """
    Return the popped item as an envelope that kombu can deliver and restore.

    It never raises: an item that cannot be read is wrapped, with the reason in the headers, so
    that it is delivered like a message and not lost. In kombu an exception here ends the worker,
    or counts as a lost connection (a KeyError does), and the item is already gone from Redis.
    """
    try:
        return json.dumps(_normal(item, queue))
    except UnreadableItem as refusal:
        return _wrapped(item, queue, reason=refusal.reason, detail=str(refusal))
    except Exception as error:  # noqa: BLE001 -- whatever it is, the item must not be lost
        return _wrapped(item, queue, reason="unreadable", detail=type(error).__name__)


def _normal(item: bytes, queue: str) -> dict[str, object]:
    if len(item) > MAX_ITEM:
        raise UnreadableItem("too_large", f"{len(item)} bytes")
    raw = _parsed(item)
    if not isinstance(raw, dict):
        raise UnreadableItem("no_envelope", f"{type(raw).__name__} instead of an object")
    properties, headers = raw.get("properties"), raw.get("headers") or {}
    if not isinstance(properties, dict) or not isinstance(headers, dict):
        raise UnreadableItem("no_envelope", "properties or headers are no object")
    if headers.get(COMPRESSION):
        raise UnreadableItem("bad_encoding", "compressed")
    body = _body(raw.get("body"), properties.get("body_encoding"))
    return {
        HINT: _is_hint(body, headers.get("task")),
        "body": base64.b64encode(body).decode(),
        "content-type": _flat(raw.get("content-type")),
        "content-encoding": _flat(raw.get("content-encoding")),
        "headers": {name: _flat(value) for name, value in headers.items() if name[:2] != "__"},
        "properties": _properties(properties, queue),
    }


def _parsed(item: bytes) -> object:
    try:
        return json.loads(item.decode())
    except (ValueError, RecursionError) as error:
        raise UnreadableItem("not_json", type(error).__name__) from None


def _is_hint(body: bytes, task: object) -> bool:
    """Say whether a message names a job and nothing else: losing it loses nothing."""
    if task != CANCEL_TOKEN or len(body) > LONGEST_HINT:
        return False
    try:
        args, kwargs, _ = json.loads(body)
    except (ValueError, TypeError, RecursionError):
        return False
    return args == [] and isinstance(kwargs, dict) and kwargs.keys() == {"partnerTxnUid"}


def _body(body: object, encoding: object) -> bytes:
    """Return the body as it was before it was encoded."""
    if not isinstance(body, str):
        raise UnreadableItem("no_envelope", f"body is {type(body).__name__}")
    if encoding in (None, "", "utf-8"):
        return _utf8(body)
    if encoding != "base64":
        raise UnreadableItem("bad_encoding", "unknown body_encoding")
    try:
        # Some clients break base64 into lines.
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableItem("bad_encoding", "body is no base64") from None


def _utf8(body: str) -> bytes:
    """Return the body as bytes. Nothing is replaced: half a character may be part of an id."""
    try:
        return body.encode()
    except UnicodeEncodeError:
        raise UnreadableItem("bad_encoding", "body is not UTF-8") from None


def _properties(given: dict[str, object], queue: str) -> dict[str, object]:
    """
    Return the properties that kombu needs to acknowledge and restore, and no others.

    The delivery tag is ours: copies of one message may share the sender's tag, and acknowledging
    one would drop the other. The address is the queue itself: a restored message is sent there,
    and with an exchange that Redis does not know it would be lost in silence.
    """
    info = given.get("delivery_info")
    redelivered = isinstance(info, dict) and info.get("redelivered") is True
    return {
        "body_encoding": "base64",
        "delivery_mode": 2,
        "delivery_tag": str(uuid4()),
        "delivery_info": {"exchange": "", "routing_key": queue, "redelivered": redelivered},
        "priority": _step(given.get("priority")),
    }


def _step(priority: object) -> int:
    """
    Return the step at which a restored message waits.

    One of kombu's four, which workers of the versions before read as well.
    """
    if not isinstance(priority, int) or not 0 <= priority <= STEPS[-1]:
        return 0
    return max(step for step in STEPS if step <= priority)


def _wrapped(item: bytes, queue: str, *, reason: str, detail: str) -> str:
    return json.dumps(
        {
            "body": base64.b64encode(item[:MAX_KEPT]).decode(),
            "content-type": UNREADABLE,
            "content-encoding": "binary",
            "headers": {"reason": reason, "detail": detail},
            "properties": _properties({}, queue),
        }
    )


def _flat(value: object) -> object:
    """
    Return a header's value. Empty an object or a list.

    kombu's JSON reader turns every `{"__type__": …}` into another type, and raises on unknown
    ones. None of the headers that we use is nested.
    """
    return type(value)() if isinstance(value, dict | list) else value

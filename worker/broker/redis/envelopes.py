"""Makes whatever is popped from a queue an envelope that kombu can deliver and restore."""

import base64
import binascii
import json
from typing import Any, Final
from uuid import uuid4

UNREADABLE: Final = "application/vnd.kplus.unreadable"
"""Content type of an item that is no Celery message; its headers say the reason."""

MAX_ITEM: Final = 1024 * 1024
"""Larger items are not even parsed. A cancel message is a thousandth of this."""

MAX_KEPT: Final = 64 * 1024
MAX_PRIORITY: Final = 9


class UnreadableItem(Exception):
    """What was popped from the queue is no Celery message; `reason` is a stable word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def envelope(item: bytes, *, queue: str) -> str:
    """
    Return the popped item as an envelope that kombu can deliver and restore.

    Total: what cannot be read comes back wrapped, with the reason in its headers, so
    that it takes the way of a message and is never lost. kombu would let its exception
    end the worker, or call it a lost connection (it takes KeyError for one), with
    the item already gone from Redis.
    """
    try:
        return json.dumps(_normal(item, queue))
    except UnreadableItem as refusal:
        return _wrapped(item, queue, reason=refusal.reason, detail=str(refusal))
    except Exception as error:  # noqa: BLE001 -- whatever it is, the item must not be lost
        return _wrapped(item, queue, reason="unreadable", detail=type(error).__name__)


def _normal(item: bytes, queue: str) -> dict[str, Any]:
    if len(item) > MAX_ITEM:
        raise UnreadableItem("too_large", f"{len(item)} bytes")
    raw = _parsed(item)
    if not isinstance(raw, dict):
        raise UnreadableItem("no_envelope", f"{type(raw).__name__} instead of an object")
    properties, headers = raw.get("properties"), raw.get("headers") or {}
    if not isinstance(properties, dict) or not isinstance(headers, dict):
        raise UnreadableItem("no_envelope", "properties or headers are no object")
    if headers.get("compression"):
        # kombu would unpack it before anyone can bound its size.
        raise UnreadableItem("bad_encoding", "compressed")
    return {
        "body": _body(raw.get("body"), properties.get("body_encoding")),
        "content-type": _flat(raw.get("content-type")),
        "content-encoding": _flat(raw.get("content-encoding")),
        "headers": {name: _flat(value) for name, value in headers.items() if name[:2] != "__"},
        "properties": _properties(properties, queue),
    }


def _parsed(item: bytes) -> Any:
    try:
        return json.loads(item.decode())
    except (ValueError, RecursionError) as error:
        raise UnreadableItem("not_json", type(error).__name__) from None


def _body(body: Any, encoding: Any) -> str:
    """Return the body in base64."""
    if not isinstance(body, str):
        raise UnreadableItem("no_envelope", f"body is {type(body).__name__}")
    if encoding in (None, "", "utf-8"):
        return base64.b64encode(body.encode(errors="replace")).decode()
    if encoding != "base64":
        raise UnreadableItem("bad_encoding", "unknown body_encoding")
    try:
        # Some clients break base64 into lines.
        plain = base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableItem("bad_encoding", "body is no base64") from None
    return base64.b64encode(plain).decode()


def _properties(given: dict[str, Any], queue: str) -> dict[str, Any]:
    """
    Return what kombu needs to acknowledge and to restore, and nothing of the sender's.

    A tag of our own: copies of one message may share theirs, and acknowledging one
    would forget the other. The queue itself as the address: a restored message goes
    by it, and an exchange that Redis does not know loses it without a word.
    """
    info = given.get("delivery_info")
    again = isinstance(info, dict) and info.get("redelivered") is True
    priority = given.get("priority")
    return {
        "body_encoding": "base64",
        "delivery_mode": 2,
        "delivery_tag": str(uuid4()),
        "delivery_info": {"exchange": "", "routing_key": queue, "redelivered": again},
        "priority": priority if priority in range(MAX_PRIORITY + 1) else 0,
    }


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


def _flat(value: Any) -> Any:
    """
    Return a header's value, of an object or a list only its kind.

    kombu's reader turns `{"__type__": …}` into other types, wherever it stands, and
    raises on those it does not know. No header that counts for us is nested.
    """
    return type(value)() if isinstance(value, dict | list) else value

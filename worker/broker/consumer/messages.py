"""Turns a message into the one form that Celery runs, or says why that is impossible."""

import json
from collections.abc import Collection
from typing import Any, Final

from worker.broker.consumer.reports import MAX_NAME, REASONS, InvalidMessage, as_bytes
from worker.broker.sealed import COMPRESSION

MAX_BODY: Final = 256 * 1024
"""A cancel message is a hundredth of this. Of a larger body only the beginning is stored."""

MAX_DEPTH: Final = 32
UTF8: Final = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})
_NOTHING: Final = dict.fromkeys(
    ("parent_id", "group", "meth", "shadow", "eta", "expires", "origin", "stamped_headers")
)


FOLLOWERS: Final = {
    "callbacks": "link",
    "errbacks": "link_error",
    "chain": "chain",
    "chord": "chord",
}
"""Where Celery writes what is to follow a task, and what its users call that."""


def normalize(message: Any, *, tasks: Collection[str]) -> list[str]:
    """
    Turn the message into the one form that Celery runs, or raise `InvalidMessage`.

    A message is only a hint, so what a sender may not decide is dropped: `eta` would leave it in
    one worker's memory, `expires` would lose it, and chains and callbacks would start other
    tasks. Of the sender's headers only the task and the id are passed on. Return what was to
    follow the task, and does not.
    """
    if message.content_type == getattr(message.channel, "UNREADABLE", ""):
        raise _unreadable(message.headers)
    headers = _headers(message)
    task = str(headers["task"])
    try:
        embed = _read_body(message)
    except InvalidMessage as invalid:
        invalid.task = task
        raise
    if task not in tasks or task.startswith("celery."):
        raise InvalidMessage("unknown_task", "no task of this name", task=task)
    message.headers = headers
    message.properties = dict(message.properties) | {
        "correlation_id": headers["id"],
        "reply_to": None,
    }
    return [word for name, word in FOLLOWERS.items() if embed.get(name)]


def _unreadable(headers: object) -> InvalidMessage:
    # The headers of our transport, or of a sender that imitates it.
    found = headers if isinstance(headers, dict) else {}
    reason = str(found.get("reason"))
    return InvalidMessage(
        reason if reason in REASONS else "unreadable", str(found.get("detail", ""))
    )


def _headers(message: Any) -> dict[str, object]:
    """Return Celery's headers, built from the two that the sender may set."""
    given = message.headers if isinstance(message.headers, dict) else {}
    task, ident = given.get("task"), given.get("id")
    if given.get(COMPRESSION):
        named = isinstance(task, str) and 0 < len(task) <= MAX_NAME
        raise InvalidMessage("bad_encoding", "compressed", task=task if named else None)
    if task is None:
        raise _without_task(message)
    if not isinstance(task, str) or not 0 < len(task) <= MAX_NAME:
        raise InvalidMessage("bad_headers", f"task is {_kind(task)}")
    if not isinstance(ident, str) or not 0 < len(ident) <= MAX_NAME or not ident.isprintable():
        raise InvalidMessage("bad_headers", f"id is {_kind(ident)}", task=task)
    return _NOTHING | {
        "lang": "py",
        "task": task,
        "id": ident,
        "root_id": ident,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": "",
        "kwargsrepr": "",
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamps": {},
    }


def _without_task(message: Any) -> InvalidMessage:
    """Tell a message of protocol 1, which names its task in the body, from one without a task."""
    payload = _decoded(message)
    if isinstance(payload, dict) and "task" in payload:
        return InvalidMessage("old_protocol", "message protocol 1; send protocol 2")
    return InvalidMessage("bad_headers", "task is missing")


def _read_body(message: Any) -> dict[str, object]:
    """Leave what the task is given in the body; return what stood beside it."""
    payload = _decoded(message)
    if not isinstance(payload, list) or len(payload) != 3:  # noqa: PLR2004 -- args, kwargs, embed
        raise InvalidMessage("wrong_shape", f"body is {_kind(payload)}, not [args, kwargs, embed]")
    args, kwargs, embed = payload
    if not isinstance(args, list):
        raise InvalidMessage("wrong_shape", f"args is {_kind(args)}")
    if not isinstance(kwargs, dict):
        raise InvalidMessage("wrong_shape", f"kwargs is {_kind(kwargs)}")
    if embed is not None and not isinstance(embed, dict):
        raise InvalidMessage("wrong_shape", f"embed is {_kind(embed)}")
    if _is_deeper([args, kwargs], MAX_DEPTH - 1):
        raise InvalidMessage("wrong_shape", f"nested deeper than {MAX_DEPTH} levels")
    if embed is None or any(embed.values()):
        _write(message, [args, kwargs, {}])
    _check_types(message)
    return embed or {}


def _decoded(message: Any) -> object:
    """Return the body's JSON as it is written: a typed value is an object with two keys."""
    raw = as_bytes(message.body)
    if len(raw) > MAX_BODY:
        raise InvalidMessage("too_large", f"{len(raw)} bytes")
    content_type = str(message.content_type).partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise InvalidMessage(
            "wrong_content_type", f"{content_type[:100]} instead of application/json"
        )
    encoding = message.content_encoding
    if encoding is not None and str(encoding).lower() not in UTF8:
        raise InvalidMessage("bad_encoding", "content-encoding is not utf-8")
    message.content_type, message.content_encoding = "application/json", "utf-8"
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InvalidMessage("bad_encoding", "body is not UTF-8") from None
    try:
        return json.loads(text) if text else text
    except (ValueError, RecursionError) as error:
        raise InvalidMessage("not_json", type(error).__name__) from None


def _check_types(message: Any) -> None:
    """Decode the body as Celery will: by kombu, which makes dates, UUIDs and others of objects."""
    try:
        message.decode()
    except Exception as error:  # noqa: BLE001 -- kombu's conversions raise anything
        cause = error.__cause__ or error
        raise InvalidMessage("not_json", type(cause).__name__) from None


def _write(message: Any, payload: list[object]) -> None:
    """Write the body anew, from JSON that was read without conversions: no value is changed."""
    message.body = json.dumps(payload).encode()
    message._decoded_cache = None  # noqa: SLF001 -- kombu remembers the body it has decoded


def _is_deeper(value: object, levels: int) -> bool:
    # Celery decodes again elsewhere, and its stack may be deeper than ours.
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)


def _kind(value: object) -> str:
    if isinstance(value, str | list | dict):
        return f"{type(value).__name__} of length {len(value)}"
    return "missing" if value is None else type(value).__name__

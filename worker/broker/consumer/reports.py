"""What is kept of a message that cannot be run: redacted, printable, bounded."""

import base64
import re
from typing import Any, Final

from worker.telemetry.redaction import redact

MAX_KEPT: Final = 16 * 1024
MAX_DETAIL: Final = 500
MAX_NAME: Final = 255
_READ: Final = 4 * MAX_KEPT
_EDGE: Final = 1024

REASONS: Final = frozenset(
    {
        "not_json",  # the body, or the queue item itself, is no JSON
        "no_envelope",  # the queue item is no Celery message
        "unreadable",  # the queue item could not be read for a reason not foreseen
        "bad_encoding",  # base64, character set or compression
        "wrong_content_type",
        "too_large",
        "old_protocol",  # Celery's message protocol 1
        "bad_headers",
        "unknown_task",
        "wrong_shape",  # not [args, kwargs, embed]
        "unexpected",  # well-formed, and Celery failed on it all the same
    }
)
# What base64 makes of `[[`, `["`, `[ `, `[{`, `{"`, `{ `: a Celery body inside an unreadable item.
_JSON_IN_BASE64: Final = re.compile(r"(?:W[1-3y]|e[yw])[A-Za-z0-9+/]{22,}={0,2}")


class InvalidMessage(Exception):
    """A message that cannot be handed to a task; `reason` is one of `REASONS`."""

    def __init__(self, reason: str, detail: str, *, task: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.task = task


def report_of(body: Any, refusal: InvalidMessage) -> dict[str, str | None]:
    """Return the arguments of the task that keeps a message: redacted, printable, bounded."""
    task = refusal.task
    return {
        "reason": refusal.reason,
        "detail": _presentable(str(refusal))[:MAX_DETAIL],
        "task": None if task is None else _presentable(task)[:MAX_NAME],
        "body": _shown(body),
    }


def as_bytes(body: Any) -> bytes:
    """Return a body as bytes: kombu's transports give either kind."""
    return body.encode(errors="replace") if isinstance(body, str) else bytes(body or b"")


def _shown(body: Any) -> str:
    """Return the body for a person: unpacked, without secrets, cut only after that."""
    raw = as_bytes(body)
    text = _JSON_IN_BASE64.sub(_unpacked, raw[:_READ].decode(errors="backslashreplace"))
    text = _presentable(text.replace('\\"', '"'))
    if len(raw) > _READ:
        # The cut may have gone through a secret, and left a part that is not recognised.
        text = text[:-_EDGE]
    return text.encode()[:MAX_KEPT].decode(errors="ignore")


def _unpacked(match: re.Match[str]) -> str:
    """Return the JSON inside base64: no redaction could see a secret in there."""
    packed = match.group().rstrip("=")
    return base64.b64decode(packed[: len(packed) // 4 * 4]).decode(errors="backslashreplace")


def _presentable(text: str) -> str:
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in redact(text)
    )

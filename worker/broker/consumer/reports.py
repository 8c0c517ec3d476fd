"""What is stored of a message that no task can run: redacted, printable, bounded."""

import base64
import re
from typing import Any, Final

from worker.telemetry.printable import printable
from worker.telemetry.redaction import redact, redact_cut

MAX_KEPT: Final = 16 * 1024
MAX_DETAIL: Final = 500
MAX_NAME: Final = 255
_READ: Final = 4 * MAX_KEPT
_DETAIL_READ: Final = 4 * MAX_DETAIL

REASONS: Final = frozenset(
    {
        "not_json",  # the body, or the queue item itself, is no JSON
        "no_envelope",  # the queue item is no Celery message
        "unreadable",  # the queue item could not be read, for an unforeseen reason
        "bad_encoding",  # base64, character set or compression
        "wrong_content_type",
        "too_large",
        "old_protocol",  # Celery's message protocol 1
        "bad_headers",
        "unknown_task",
        "wrong_shape",  # not [args, kwargs, embed]
        "unexpected",  # well-formed, but Celery failed on it
    }
)
# What base64 makes of `[[`, `["`, `[ `, `[{`, `{"`, `{ `: a Celery body inside an unreadable item.
_JSON_IN_BASE64: Final = re.compile(r"(?:W[1-3y]|e[yw])[A-Za-z0-9+/]{22,}={0,2}")


class InvalidMessage(Exception):
    """A message that no task can run; `reason` is one of `REASONS`."""

    def __init__(self, reason: str, detail: str, *, task: str | None = None) -> None:
        super().__init__(detail[:_DETAIL_READ])  # it may be the sender's
        self.reason = reason
        self.task = task


def report_of(body: Any, invalid: InvalidMessage) -> dict[str, str | None]:
    """Return the arguments of the task that stores a message: redacted, printable, bounded."""
    task = invalid.task
    return {
        "reason": invalid.reason,
        "detail": printable(redact_cut(str(invalid)), keep="\n")[:MAX_DETAIL],
        "task": None if task is None else printable(redact(task), keep="\n")[:MAX_NAME],
        "body": _for_people(body),
    }


def as_bytes(body: Any) -> bytes:
    """
    Return a body as bytes: kombu's transports return bytes or text.

    Half a character stays what it is, so that the bytes are no UTF-8 and are refused.
    """
    return body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body or b"")


def _for_people(body: Any) -> str:
    """Return the body for people: unpacked, then redacted, then cut."""
    raw = as_bytes(body)
    text = _JSON_IN_BASE64.sub(_unpacked, raw[:_READ].decode(errors="backslashreplace"))
    text = text.replace('\\"', '"')
    # The cut may have split a secret.
    clean = redact_cut(text) if len(raw) > _READ else redact(text)
    return printable(clean, keep="\n").encode()[:MAX_KEPT].decode(errors="ignore")


def _unpacked(match: re.Match[str]) -> str:
    """Return the JSON inside base64, in which redaction could not find a secret."""
    packed = match.group().rstrip("=")
    return base64.b64decode(packed[: len(packed) // 4 * 4]).decode(errors="backslashreplace")

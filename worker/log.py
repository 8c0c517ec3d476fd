"""
Logs: one event a line, JSON where nobody watches; and the redaction of secrets.

Redaction is the last line of defence. The first is that no secret is ever passed here.
"""

import base64
import html
import io
import json as jsons
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TextIO
from urllib.parse import quote, quote_plus

import structlog
from structlog.typing import FilteringBoundLogger, Processor

REDACTED = "[redacted]"
SHORTEST_SECRET = 4
"""Shorter values would blot out ordinary text without protecting anything."""

_one_line = threading.RLock()
"""Held while a line is written, by whichever thread, and over a fork: a child begins with no
half line in a buffer, and with a lock that nobody holds."""
os.register_at_fork(
    before=_one_line.acquire, after_in_parent=_one_line.release, after_in_child=_one_line.release
)
_output: TextIO = sys.stderr
_secrets: list[str] = []
"""Every form of every registered secret, the longest first: one may stand inside another."""
# A value behind a name that means a credential, in JSON, in a repr or in a query string.
_NAMES = r"partner[-_]?secret|password|authorization"
_NAMED = re.compile(
    rf"""(?P<name>(?:{_NAMES})\\*["']?\s*[:=]\s*)"""
    # JSON inside JSON, a quoted string (ended or cut off), or a bare word.
    r"""(?:(?P<quote>\\+["']).*?(?:(?P=quote)|$)"""
    r"""|"(?:\\.|[^"\\])*(?:"|$)|'(?:\\.|[^'\\])*(?:'|$)|[^\s,}&;]+)""",
    re.IGNORECASE | re.DOTALL,
)
_NAME = re.compile(_NAMES, re.IGNORECASE)
_PERCENT = re.compile("%[0-9A-F]{2}")
_FOR_URLS = str.maketrans("+/", "-_")
_URL_PASSWORD = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+@", re.IGNORECASE)
# Libraries that say more than an operator needs, or more than a log may hold: at DEBUG
# Celery prints a message's arguments (measured). What a task led to is our own event.
_CHATTY = (
    "alembic",
    "amqp",
    "celery.app.trace",
    "celery.bootsteps",
    "celery.utils.functional",
    "celery.worker.strategy",
    "httpcore",
    "httpx",
    "kombu",
)


def protect(secrets: Iterable[str]) -> None:
    """Register secret values: `redact` replaces them wherever they stand, however encoded."""
    long_enough = (secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
    known = {*_secrets, *(form for secret in long_enough for form in _forms(secret))}
    _secrets[:] = sorted(known, key=len, reverse=True)


def _forms(secret: str) -> Iterator[str]:
    """Yield the secret as it is, and as JSON, URLs, HTML and base64 show it."""
    written = jsons.dumps(secret)[1:-1]
    for form in (secret, written):
        yield form
        yield form.replace("/", "\\/")  # as PHP writes JSON
        yield from _packed(form)
    yield jsons.dumps(written)[1:-1]
    yield written.replace('\\"', '"')
    yield html.escape(secret)
    for form in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield form
        yield _PERCENT.sub(lambda found: found.group().lower(), form)


def _packed(text: str) -> Iterator[str]:
    """Yield what base64 makes of a text in the middle of others: one form for each alignment."""
    for before in range(3):
        packed = base64.b64encode(b"x" * before + text.encode()).decode()
        inner = packed[4 if before else 0 : -4]
        if len(inner) > SHORTEST_SECRET:
            yield inner
            yield inner.translate(_FOR_URLS)


def redact(text: str) -> str:
    """Return the text with registered secrets and credential-like values replaced."""
    for secret in tuple(_secrets):
        text = text.replace(secret, REDACTED)
    # Nearly all texts are short words: a look for what a pattern needs spares most of the time.
    if ":" in text or "=" in text:
        text = _NAMED.sub(rf"\g<name>{REDACTED}", text)
        if "@" in text:
            text = _URL_PASSWORD.sub(rf"\g<head>{REDACTED}@", text)
    return text


def redact_value(value: Any) -> Any:
    """Return a structure with every text in it redacted, and what stands under a secret's name."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {
            redact_value(key): REDACTED if _NAME.fullmatch(str(key)) else redact_value(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact_value(item) for item in value]
    return value if isinstance(value, int | float | None) else redact(str(value))


def configure_logging(*, level: str = "INFO", json: bool | None = None) -> None:
    """
    Send all logs, ours and the libraries', to standard error, redacted.

    `json` defaults to whether standard error is no terminal.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    named: list[Processor] = [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    written: list[Processor] = [
        _exceptions(as_json=as_json),
        _redact_event,
        _renderer(as_json=as_json),
    ]
    # Ours go to the same place without a way round by `logging`, which costs as much again.
    global _output  # noqa: PLW0603 - loggers live as long as their modules, the stream may not
    _output = _buffered(sys.stderr)
    handler = _Handler(_output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                *named,
                structlog.stdlib.PositionalArgumentsFormatter(),
                stamp,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*named, stamp, *written],
        logger_factory=_Logger,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger whose events carry fields, not formatted text, and its name."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def _buffered(stream: TextIO) -> TextIO:
    """
    Return the stream, with a buffer where PYTHONUNBUFFERED has left it without one.

    A signal cuts a long write short. A buffer writes the rest of it, a bare file loses it.
    """
    if not isinstance(getattr(stream, "buffer", None), io.RawIOBase):
        return stream
    number, coding, errors = stream.fileno(), stream.encoding, stream.errors
    return os.fdopen(number, "w", encoding=coding, errors=errors, closefd=False)


def _write(stream: TextIO, line: str) -> None:
    """
    Write one whole line; one that cannot be written is lost, and nothing else is.

    ValueError: the stream is closed. RuntimeError: a signal came while this very thread was
    writing, and what it started logs too.
    """
    with _one_line, suppress(OSError, ValueError, RuntimeError):
        stream.write(f"{line}\n")
        stream.flush()


class _Handler(logging.StreamHandler[TextIO]):
    """Writes what comes by way of `logging`."""

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Take the lock of all lines instead of one a handler."""
        self.lock = _one_line

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; one that cannot be formatted is told as `logging` tells it."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a wrong log call stops nobody
            self.handleError(record)
        else:
            _write(self.stream, line)


class _Logger:
    """Writes the lines of one module, whose name it knows, without a way round by `logging`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def _line(self, line: str) -> None:
        _write(_output, line)

    debug = info = warning = error = critical = _line


def _exceptions(*, as_json: bool) -> Processor:
    """Tracebacks without local variables: locals are where tokens and secrets live."""
    if as_json:
        return structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        )
    return structlog.processors.format_exc_info


def _renderer(*, as_json: bool) -> Processor:
    if as_json:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    if _is_clean(event):
        return event
    cleaned: dict[str, Any] = redact_value(dict(event))
    return cleaned


def _is_clean(event: Mapping[str, Any]) -> bool:
    """Look at all words at once, which is quick, for anything that `redact_value` might change."""
    words = [*event]
    for value in event.values():
        if isinstance(value, str):
            words.append(value)
        elif not isinstance(value, int | float | None):
            return False
    text = "\0".join(words)
    return not (
        _NAME.search(text)
        or ("@" in text and _URL_PASSWORD.search(text))
        or any(secret in text for secret in _secrets)
    )

"""Logs: one event a line, redacted; JSON unless standard error is a terminal."""

import io
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from worker.telemetry.one_line import one_line
from worker.telemetry.printable import printable, printable_json
from worker.telemetry.redaction import is_clean, redact_value

_output: TextIO = sys.stderr
_OF_LINES = frozenset({"exception", "stack"})
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


def configure_logging(*, level: str = "INFO", json: bool | None = None) -> None:
    """
    Send all logs, ours and the libraries', to standard error, redacted.

    `json` defaults to whether standard error is no terminal. What is set last holds for every
    logger, also for one that was used before.
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
    # No logger keeps what it was first used with: that would save 2 of 28 us a line.
    structlog.configure(
        processors=[*named, stamp, *written],
        logger_factory=_Logger,
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger whose events carry fields, not formatted text, and its name."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def _buffered(stream: TextIO) -> TextIO:
    """
    Return the stream, with a buffer if PYTHONUNBUFFERED has left it without one.

    A signal can interrupt a long write. A buffer then writes the rest; a bare file loses it.
    """
    if not isinstance(getattr(stream, "buffer", None), io.RawIOBase):
        return stream
    number, coding, errors = stream.fileno(), stream.encoding, stream.errors
    return os.fdopen(number, "w", encoding=coding, errors=errors, closefd=False)


def _write(stream: TextIO, line: str) -> None:
    """
    Write one whole line. A line that cannot be written is lost; nothing is raised.

    ValueError: the stream is closed. RuntimeError: a signal handler logs while the same thread
    is writing a line.
    """
    with one_line, suppress(OSError, ValueError, RuntimeError):
        stream.write(f"{line}\n")
        stream.flush()


class _Handler(logging.StreamHandler[TextIO]):
    """Writes the records of `logging`."""

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Use the lock that all lines share."""
        self.lock = one_line

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. One that cannot be formatted is reported as `logging` does."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a wrong log call must not fail the job
            self.handleError(record)
        else:
            _write(self.stream, line)


class _Logger:
    """Writes the lines of one module directly, not through `logging`, which costs as much again."""

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
    """Return what makes the line; a terminal may print it, whatever the texts come from."""
    if as_json:
        to_json = structlog.processors.JSONRenderer(ensure_ascii=False)
        return lambda logger, method, event: printable_json(str(to_json(logger, method, event)))
    to_line = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return lambda logger, method, event: to_line(logger, method, _printable_event(event))


def _printable_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event without control characters; a traceback keeps its lines."""
    return {
        printable(str(name)): printable(value, keep="\n" if name in _OF_LINES else "")
        if isinstance(value, str)
        else value
        for name, value in event.items()
    }


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    if is_clean(event):
        return event
    cleaned: dict[str, Any] = redact_value(dict(event))
    return cleaned

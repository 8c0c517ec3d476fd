"""Logs: one event a line, redacted; JSON unless standard error is a terminal."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from worker.telemetry.redaction import is_clean, redact_value

_output: TextIO = sys.stderr
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
    handler = logging.StreamHandler(sys.stderr)
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
    # Ours go to the same place without a way round by `logging`, which costs as much again.
    global _output  # noqa: PLW0603 - loggers live as long as their modules, the stream may not
    _output = sys.stderr
    structlog.configure(
        processors=[*named, stamp, *written],
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger whose events carry fields, not formatted text, and its name."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


class _Lines:
    """
    Writes the lines of one module, whose name it knows.

    As with `logging`, a line that cannot be written is lost, and nothing else is.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def _write(self, line: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: the stream is closed
            _output.write(f"{line}\n")
            _output.flush()

    debug = info = warning = error = critical = _write


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
    if is_clean(event):
        return event
    cleaned: dict[str, Any] = redact_value(dict(event))
    return cleaned

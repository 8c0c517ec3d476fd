"""What libraries print past the log becomes events of the log: one line, redacted, JSON as well."""

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from worker.telemetry.log import get_logger

LONGEST_LINE = 4000

log = get_logger(__name__)


class PrintedLines(io.TextIOBase):
    """A stream whose lines are events. It is no terminal, and has no file behind it."""

    encoding = "utf-8"

    def __init__(self, name: str) -> None:
        self._name = name
        self._rest = threading.local()

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Log each whole line; keep what follows the last one for the next call of this thread."""
        *lines, rest = (getattr(self._rest, "text", "") + text).split("\n")
        self._rest.text = rest[:LONGEST_LINE]
        for line in lines:
            if line.strip():
                log.info("printed", by=self._name, text=line.strip()[:LONGEST_LINE])
        return len(text)


@contextmanager
def printed_lines_logged() -> Iterator[None]:
    """Log what is printed, and what ends a thread, meanwhile; the log keeps its own stream."""
    before = sys.stdout, sys.stderr, threading.excepthook, sys.unraisablehook
    sys.stdout, sys.stderr = PrintedLines("stdout"), PrintedLines("stderr")
    threading.excepthook, sys.unraisablehook = _log_thread, _log_unraisable
    try:
        yield
    finally:
        sys.stdout, sys.stderr, threading.excepthook, sys.unraisablehook = before


def _log_thread(ended: Any) -> None:
    error = ended.exc_value
    if error is not None:
        name = ended.thread.name if ended.thread else None
        log.error("thread_failed", thread=name, exc_info=_chain(error))


def _log_unraisable(found: Any) -> None:
    error = found.exc_value
    if error is not None:
        log.error("error_ignored", where=str(found.err_msg or ""), exc_info=_chain(error))


def _chain(
    error: BaseException,
) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    return type(error), error, error.__traceback__

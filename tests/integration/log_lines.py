"""A program whose threads log at once, by structlog and by `logging`, to one pipe."""

import io
import logging
import os
import signal
import sys
import threading
from typing import TextIO

from worker.telemetry.log import configure_logging, get_logger

THREADS = 16
LINES = 400
SHORTEST, LONGEST = 50, 9_000
LONG = 1_000_000
"""Many times what fits into a pipe."""
INTERRUPTED = 10


def size(thread: int, line: int) -> int:
    """Return how long an event is: every length comes, in no order."""
    return SHORTEST + (thread * LINES + line) * 7919 % (LONGEST - SHORTEST + 1)


def at_once() -> None:
    """Log from all threads."""
    configure_logging(json=True)
    ours, theirs = get_logger("ours"), logging.getLogger("theirs")
    start = threading.Barrier(THREADS)

    def talk(thread: int) -> None:
        start.wait()
        for line in range(LINES):
            log = ours if line % 4 else theirs
            event = f"{thread} {line} {'x' * size(thread, line)}"
            log.warning(event)

    threads = [threading.Thread(target=talk, args=(thread,)) for thread in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


class Noticed:
    """Standard error, which says when a write has begun and holds it until somebody waits."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.begun = threading.Event()

    def write(self, text: str) -> int:
        """Write, and say so first."""
        self.begun.set()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def forked() -> None:
    """Fork while a thread is in the middle of a line that fills the pipe many times."""
    sys.stderr = noticed = Noticed(sys.stderr)
    configure_logging(json=True)
    log = get_logger("ours")
    thread = threading.Thread(target=log.warning, args=("x" * LONG,))
    thread.start()
    noticed.begun.wait()
    if child := os.fork():
        os.waitpid(child, 0)
        thread.join()
    else:
        log.warning("child")
        logging.getLogger("theirs").warning("child")
        os._exit(0)


def interrupted() -> None:
    """Log lines that fill the pipe many times, while signals come in."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    configure_logging(json=True)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    for log in (get_logger("ours"), logging.getLogger("theirs")):
        for _ in range(INTERRUPTED):
            log.warning("x" * LONG)
    signal.setitimer(signal.ITIMER_REAL, 0)


class Broken(io.StringIO):
    """A stream that fails: a pipe without a reader, or one that is in the middle of a line."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str) -> int:
        """Fail."""
        raise self._error


def broken() -> None:
    """Log to streams that fail, then to one that does not."""
    closed = io.StringIO()
    closed.close()
    log = get_logger("ours")
    streams = (Broken(BrokenPipeError()), Broken(RuntimeError("reentrant call")), closed)
    for stream in (*streams, sys.stderr):
        sys.stderr = stream
        configure_logging(json=True)
        log.warning("written")
        logging.getLogger("theirs").warning("written")


def set_again() -> None:
    """Log before and after the level is set anew."""
    log = get_logger("ours")
    for level in ("ERROR", "WARNING"):
        configure_logging(level=level, json=True)
        log.warning(level)


if __name__ == "__main__":
    plays = {each.__name__: each for each in (at_once, forked, interrupted, broken, set_again)}
    plays[sys.argv[1]]()

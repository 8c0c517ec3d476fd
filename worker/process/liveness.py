"""
Whether this process moves: progress, not the process, is health.

A worker may hold every connection and do nothing: a thread that waits for ever, a consumer
that the broker's outage left behind (measured with Celery 5.7.0). Each sign of life is
marked here, and what has shown none for too long is a stall.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Stall:
    """What does not move, in plain words, and since when."""

    what: str
    lasts: timedelta


class Liveness:
    """
    The signs of life of one process, to mark and to read from any thread.

    There is no lock: a fork may copy one that is held. Each mark is one step of the interpreter.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._numbers = itertools.count()
        self._tasks: dict[int, float] = {}
        self.forgive()

    def forgive(self) -> None:
        """Begin anew: at the start, and after a sleep of the whole process."""
        now = self._passed = self._monotonic()
        self._ignored: float | None = None
        for number in list(self._tasks):
            self._tasks[number] = now

    def passed(self, *, queued: int) -> None:
        """Mark the end of a pass of the sweep, which found so many messages in the queue."""
        self._passed = self._monotonic()
        if not queued:
            self._ignored = None
        elif self._ignored is None:
            self._ignored = self._passed

    def received(self) -> None:
        """Mark that a message has come to this process."""
        self._ignored = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Mark a task under way for as long as the block runs."""
        number = next(self._numbers)
        self._tasks[number] = self._monotonic()
        try:
            yield
        finally:
            self._tasks.pop(number, None)

    def stall(self) -> Stall:
        """Return what has not moved for the longest time; a moment, where all is well."""
        marks = [("no pass of the sweep has ended", self._passed)]
        marks += [("a task has not ended", began) for began in list(self._tasks.values())]
        if (ignored := self._ignored) is not None:
            marks.append(("messages wait, and none has come here", ignored))
        what, since = min(marks, key=lambda mark: mark[1])
        return Stall(what, timedelta(seconds=self._monotonic() - since))

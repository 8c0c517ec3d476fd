"""
Whether this process makes progress: a process that runs is not yet a healthy one.

A worker can hold every connection and do nothing: a thread that waits for ever, or a consumer
that does not recover from an outage of the broker (measured with Celery 5.7.0). Each sign of
progress is marked here. What makes no progress for too long is a stall.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Stall:
    """What makes no progress, as a sentence, and for how long."""

    what: str
    duration: timedelta


class Liveness:
    """
    The signs of progress of one process. Any thread may mark and read them.

    There is no lock: a fork could copy a locked one. Each mark is one step of the interpreter.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._numbers = itertools.count()
        self._tasks: dict[int, float] = {}
        self.reset()

    def reset(self) -> None:
        """Start counting from now: at the start, and after the whole process was suspended."""
        now = self._swept = self._monotonic()
        self._ignored: float | None = None
        for number in list(self._tasks):
            self._tasks[number] = now

    def sweep_ended(self, *, queued: int) -> None:
        """Mark the end of a pass of the sweep, with the number of messages in the queue then."""
        self._swept = self._monotonic()
        if not queued:
            self._ignored = None
        elif self._ignored is None:
            self._ignored = self._swept

    def message_received(self) -> None:
        """Mark that this process has received a message."""
        self._ignored = None

    @contextmanager
    def task_running(self) -> Iterator[Callable[[], None]]:
        """
        Mark a task as running for as long as the block runs.

        Yield what it calls to say that it got on: the time is counted from then.
        """
        number = next(self._numbers)

        def progressed() -> None:
            self._tasks[number] = self._monotonic()

        progressed()
        try:
            yield progressed
        finally:
            self._tasks.pop(number, None)

    def stall(self) -> Stall:
        """Return what has made no progress for longest. Its duration is short if all is well."""
        marks = [("no pass of the sweep has ended", self._swept)]
        marks += [("a task has not ended", began) for began in list(self._tasks.values())]
        if (ignored := self._ignored) is not None:
            marks.append(("messages wait, and none has come here", ignored))
        what, since = min(marks, key=lambda mark: mark[1])
        return Stall(what, timedelta(seconds=self._monotonic() - since))

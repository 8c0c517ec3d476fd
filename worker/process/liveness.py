"""
Whether this process makes progress: a process that runs is not yet a healthy one.

A worker can hold every connection and do nothing: a thread that waits for ever, or a consumer
that does not recover from an outage of the broker (measured with Celery 5.7.0). Or it runs one pass
after the other, of which each fails. Each sign of progress is marked here. What makes no progress
for too long is a stall.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

SWEEP = "sweep"
"""The name of the thread whose passes every job needs."""


class End(Enum):
    """How a process ends that has stalled for too long, so that its supervisor starts another."""

    AT_ONCE = auto()
    """Some thread hangs, and an orderly end would wait for it."""
    IN_ORDER = auto()
    """All threads run, and calls of the bank may be under way."""
    NOT = auto()
    """A new one would do no better: it could not even start."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a pass failed. A restart does not help where another process would meet the same."""

    reason: str
    restart_may_help: bool = True


@dataclass(frozen=True, slots=True)
class Stall:
    """What makes no progress, as a sentence, for how long, and why if that is known."""

    what: str
    duration: timedelta
    end: End = End.AT_ONCE
    reason: str = ""

    def __str__(self) -> str:
        """Return it as one sentence."""
        seconds = f"{self.what} for {self.duration.total_seconds():.0f} s"
        return f"{seconds}: {self.reason}" if self.reason else seconds


class Liveness:
    """
    The signs of progress of one process. Any thread may mark and read them.

    There is no lock: a fork could copy a locked one. Each mark is one step of the interpreter.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._numbers = itertools.count()
        self._tasks: dict[int, float] = {}
        self._failing: dict[str, _Failing] = {}
        self.reset()

    def reset(self) -> None:
        """Start counting from now: at the start, and after the whole process was suspended."""
        now = self._swept = self._monotonic()
        self._ignored: float | None = None
        for number in list(self._tasks):
            self._tasks[number] = now
        for name, failing in list(self._failing.items()):
            self._failing[name] = _Failing(now, now, failing.failure)

    def pass_ended(self, name: str, failure: Failure | None = None) -> None:
        """Mark the end of a pass of a thread, and why it failed: one that failed did nothing."""
        if failure is None:
            self._failing.pop(name, None)
            return
        now = self._monotonic()
        before = self._failing.get(name, _Failing(now, now, failure))
        alike = before.failure.restart_may_help is failure.restart_may_help
        self._failing[name] = _Failing(before.since, before.alike_since if alike else now, failure)

    def sweep_ended(self, *, queued: int, failure: Failure | None = None) -> None:
        """Mark the end of a pass of the sweep, with the number of messages in the queue then."""
        self.pass_ended(SWEEP, failure)
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
        return max(self.stalls(), key=lambda stall: stall.duration)

    def stalls(self) -> list[Stall]:
        """Return all that has made no progress since some time, however short."""
        now = self._monotonic()
        marks = [("no pass of the sweep has ended", self._swept)]
        marks += [("a task has not ended", began) for began in list(self._tasks.values())]
        if (ignored := self._ignored) is not None:
            marks.append(("messages wait, and none has come here", ignored))
        hanging = [Stall(what, timedelta(seconds=now - since)) for what, since in marks]
        return hanging + [
            Stall(
                f"no pass of the {name} has succeeded",
                timedelta(seconds=now - since),
                end,
                failing.failure.reason,
            )
            for name, failing in list(self._failing.items())
            for since, end in failing.ends()
        ]


@dataclass(frozen=True, slots=True)
class _Failing:
    """Since when all passes of a thread have failed, since when for alike reasons, the last one."""

    since: float
    alike_since: float
    failure: Failure

    def ends(self) -> Iterator[tuple[float, End]]:
        yield self.since, End.NOT
        # Counted anew after an outage: the first pass after it may still fail.
        if self.failure.restart_may_help:
            yield self.alike_since, End.IN_ORDER

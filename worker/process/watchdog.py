"""
Ends a process that makes no progress, so that its supervisor starts another.

Nothing is lost: each row holds its job's state, and leases end. This thread uses nothing that
could hang together with the other threads. A process that would do no better after a restart, since
the database is away, is kept: it says what it waits for, and goes on as soon as that is back.
"""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta

from worker.process.heartbeat import Heartbeat
from worker.process.liveness import End, Liveness, Stall
from worker.telemetry.log import get_logger

log = get_logger(__name__)

EXIT_CODE = 1
CHECKS_PER_STALL = 20
"""How often it checks within the longest time that a stall may last."""
DEEPEST_STACK = 40
"""How many frames of each thread are logged, from the innermost outwards."""
LONGEST_PAUSE_SECONDS = 5.0
"""Readers of the heartbeat expect a fresh one."""


class Watchdog:
    """Checks the progress from its own thread, and writes the heartbeat."""

    def __init__(
        self,
        liveness: Liveness,
        heartbeat: Heartbeat,
        *,
        stall_timeout: timedelta,
        end_in_order: Callable[[], None],
        end: Callable[[], None] | None = None,
    ) -> None:
        self._liveness = liveness
        self._heartbeat = heartbeat
        self._stall_timeout = stall_timeout
        self._end_in_order, self._end = end_in_order, end or _end
        self._said: dict[End, float] = {}
        self._pause = min(LONGEST_PAUSE_SECONDS, stall_timeout.total_seconds() / CHECKS_PER_STALL)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kplus-watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread. The time before does not count."""
        self._liveness.reset()
        self._thread.start()

    def stop(self) -> None:
        """Stop checking: the supervisor bounds how long a stop may take."""
        self._stopped.set()
        self._thread.join(timeout=10)
        self._heartbeat.close()

    def _run(self) -> None:
        checked = time.monotonic()
        while not self._stopped.wait(self._pause):
            since_check, checked = time.monotonic() - checked, time.monotonic()
            if since_check > self._stall_timeout.total_seconds() / 2:
                # The process or its machine was suspended: no thread could make progress.
                self._liveness.reset()
            self._check()

    def _check(self) -> None:
        stalls = sorted(self._liveness.stalls(), key=lambda stall: stall.duration, reverse=True)
        longest = stalls[0] if stalls[0].duration > self._stall_timeout / 2 else None
        self._heartbeat.beat(longest)
        over = {
            stall.end: stall for stall in reversed(stalls) if stall.duration > self._stall_timeout
        }
        for end in (End.AT_ONCE, End.IN_ORDER, End.NOT):
            if end in over:
                self._act(over[end])
                return

    def _act(self, stall: Stall) -> None:
        """Say it, once in the longest time that a stall may last, and end as it asks for."""
        now = time.monotonic()
        said_at = self._said.get(stall.end)
        if said_at is not None and now - said_at < self._stall_timeout.total_seconds():
            return
        self._said[stall.end] = now
        log.critical(
            "worker_stalled",
            what=stall.what,
            seconds=round(stall.duration.total_seconds()),
            reason=stall.reason or None,
            ends=stall.end is not End.NOT,
            threads=_stacks() if stall.end is End.AT_ONCE else None,
        )
        if stall.end is End.AT_ONCE:
            self._end()
        elif stall.end is End.IN_ORDER and said_at is None:
            self._end_in_order()


def _end() -> None:
    """End at once: an orderly end would wait for the thread that hangs."""
    os._exit(EXIT_CODE)


def _stacks() -> dict[str, list[str]]:
    """Return where each thread stands, without its variables."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {
        f"{names.get(number, 'unknown')} {number}": [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_stack(top, limit=-DEEPEST_STACK)
        ]
        for number, top in sys._current_frames().items()  # noqa: SLF001 - there is no other way
    }

"""
Ends a process that has stopped moving, so that its supervisor starts another.

Nothing is lost with it: the rows say where each job stands, and leases end. The thread
uses no part that could hang with the others.
"""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from worker.process.heartbeat import Heartbeat
from worker.process.liveness import Liveness
from worker.telemetry.log import get_logger

log = get_logger(__name__)

EXIT_CODE = 1
LOOKS = 20
"""How often it looks within the time that a stall may last."""
LONGEST_PAUSE = 5.0
"""Seconds: whoever reads the pulse expects news."""


class Watchdog:
    """Looks at the progress from a thread of its own, and tells the world by the pulse."""

    def __init__(
        self,
        progress: Liveness,
        pulse: Heartbeat,
        *,
        patience: timedelta,
        end: Callable[[], None] | None = None,
    ) -> None:
        self._progress = progress
        self._pulse = pulse
        self._patience = patience
        self._end = end or _end
        self._pause = min(LONGEST_PAUSE, patience.total_seconds() / LOOKS)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kplus-watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread; what happened before does not count."""
        self._progress.forgive()
        self._thread.start()

    def stop(self) -> None:
        """Look no more: how long a stop may take is for the supervisor to say."""
        self._stopped.set()
        self._thread.join(timeout=10)
        self._pulse.close()

    def _run(self) -> None:
        looked = time.monotonic()
        while not self._stopped.wait(self._pause):
            slept, looked = time.monotonic() - looked, time.monotonic()
            if slept > self._patience.total_seconds() / 2:
                # The whole process was stopped, or its machine: nobody else could move either.
                self._progress.forgive()
            self._look()

    def _look(self) -> None:
        stall = self._progress.stall()
        lasts = stall.lasts.total_seconds()
        slow = stall.lasts > self._patience / 2
        self._pulse.beat(stalled=f"{stall.what} for {lasts:.0f} s" if slow else None)
        if stall.lasts > self._patience:
            log.critical("worker_stalled", what=stall.what, seconds=round(lasts))
            self._end()


def _end() -> None:
    """End at once: in order, it would wait for the thread that hangs."""
    # Where each thread stands, without its variables.
    faulthandler.dump_traceback(sys.__stderr__ or 2, all_threads=True)
    os._exit(EXIT_CODE)

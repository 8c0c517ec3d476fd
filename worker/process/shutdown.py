"""
What signals do: the first stops new work and lets calls end, the second ends the process.

Celery alone ignores a second SIGTERM, waits for threads also at SIGQUIT, and waits for ever
for a call that hangs (all measured).
"""

import math
import mmap
import os
import signal
import time
from datetime import timedelta
from types import FrameType

from celery.signals import worker_ready, worker_shutting_down
from celery.worker import state

from worker.broker.sealed import RETURNED
from worker.telemetry.log import get_logger

log = get_logger(__name__)

SETTLE_TIME = timedelta(seconds=20)
"""Time for a stop beyond the calls under way: outcomes, messages and the sweep."""


FAILED = 1
"""The exit code of a worker that stops because it could do nothing."""


class Shutdown:
    """
    Whether this worker stops, for its threads and its child processes to read.

    A stop may take `within`. After that the kernel ends the process, as at a second signal; jobs
    that are in flight then are rescued when their leases end.
    """

    def __init__(self, *, within: timedelta) -> None:
        self._within = within
        # Memory shared with prefork's children. There is no lock: a signal handler can interrupt
        # the thread that holds it.
        self._stops = mmap.mmap(-1, 1)
        self._signal: str | None = None
        self._began = 0.0
        self._under_way = 0
        self._returned = 0
        self._failed = False

    def __call__(self) -> bool:
        """Say whether no new work may begin."""
        return self._stops[0] != 0

    def listen(self) -> None:
        """Connect to Celery's handlers of the signals."""
        worker_shutting_down.connect(self._begin, weak=False)
        worker_ready.connect(_quit_at_once, weak=False)

    def fail(self) -> None:
        """Stop as at SIGTERM; the exit code says that nobody asked for it. Any thread may call."""
        if not self():
            self._failed = True
            os.kill(os.getpid(), signal.SIGTERM)

    def exit_code(self, code: int | None) -> int:
        """Return the exit code of a worker that Celery ended with this one."""
        return int(code or (FAILED if self._failed else 0))

    def tell_end(self, exit_code: int) -> None:
        """Say that this worker has stopped: why, and what became of the work it had."""
        # Celery still holds what it could not acknowledge; the broker gets it back with the line.
        returned = RETURNED.messages - self._returned + len(state.reserved_requests)
        log.info(
            "worker_stopped",
            signal=self._signal,
            exit_code=exit_code,
            calls_then=self._under_way,
            messages_given_back=returned,
            seconds=round(time.monotonic() - self._began, 1) if self._signal else None,
        )

    def _begin(self, sig: object = None, **_signal: object) -> None:
        """Run inside Celery's handler of the first SIGTERM or Ctrl-C."""
        self._stops[0] = 1
        self._signal, self._began = str(sig), time.monotonic()
        self._under_way, self._returned = len(state.active_requests), RETURNED.messages
        log.info(
            "worker_stopping",
            signal=self._signal,
            calls=self._under_way,
            within_seconds=math.ceil(self._within.total_seconds()),
        )
        # From now on the kernel ends the process, even if all of its threads hang.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(math.ceil(self._within.total_seconds()))


def _quit_at_once(**_signal: object) -> None:
    # The default action would write a core file, with the partner's secret in it.
    signal.signal(signal.SIGQUIT, _exit)


def _exit(number: int, _frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    log.warning("worker_ends_at_once", signal=name, calls=len(state.active_requests))
    os._exit(128 + number)

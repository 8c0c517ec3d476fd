"""
What signals do: the first stops new work and lets calls end, the second ends the process.

Celery alone ignores a second SIGTERM, waits for threads also at SIGQUIT, and waits for ever
for a call that hangs (all measured).
"""

import math
import mmap
import os
import signal
from datetime import timedelta
from types import FrameType

from celery.signals import worker_ready, worker_shutting_down

SETTLE_TIME = timedelta(seconds=20)
"""Time for a stop beyond the calls under way: outcomes, messages and the sweep."""


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

    def __call__(self) -> bool:
        """Say whether no new work may begin."""
        return self._stops[0] != 0

    def listen(self) -> None:
        """Connect to Celery's handlers of the signals."""
        worker_shutting_down.connect(self._begin, weak=False)
        worker_ready.connect(_quit_at_once, weak=False)

    def _begin(self, **_signal: object) -> None:
        """Run inside Celery's handler of the first SIGTERM or Ctrl-C."""
        self._stops[0] = 1
        # From now on the kernel ends the process, even if all of its threads hang.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(math.ceil(self._within.total_seconds()))


def _quit_at_once(**_signal: object) -> None:
    # The default action would write a core file, with the partner's secret in it.
    signal.signal(signal.SIGQUIT, _exit)


def _exit(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)

"""
What a signal asks of a worker: to take nothing new and end its calls, or to end at once.

Celery alone ignores a second SIGTERM, waits for threads at SIGQUIT as well, and waits without
end for a call that hangs (all measured).
"""

import math
import mmap
import os
import signal
from datetime import timedelta
from types import FrameType

from celery.signals import worker_ready, worker_shutting_down

SETTLE_TIME = timedelta(seconds=20)
"""What a stop may take beside the calls under way: their outcomes, their messages, the sweep."""


class Shutdown:
    """
    Whether this worker has been asked to stop, for its threads and for its children.

    `within` is how long that may take. After that the kernel ends the process, as it does at a
    second signal: what is in flight then is rescued when its lease ends.
    """

    def __init__(self, *, within: timedelta) -> None:
        self._within = within
        # Shared with the children of prefork; and set without a lock, for a signal's handler
        # may interrupt whoever holds it.
        self._asked = mmap.mmap(-1, 1)

    def __call__(self) -> bool:
        """Say whether nothing new may begin."""
        return self._asked[0] != 0

    def listen(self) -> None:
        """Heed the signals from the moment at which Celery does."""
        worker_shutting_down.connect(self._begin, weak=False)
        worker_ready.connect(_quit_at_once, weak=False)

    def _begin(self, **_signal: object) -> None:
        """Run inside Celery's handler of the first SIGTERM or Ctrl-C."""
        self._asked[0] = 1
        # By the kernel, whatever this process is busy with by then.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(math.ceil(self._within.total_seconds()))


def _quit_at_once(**_signal: object) -> None:
    # Its default would leave a core file, and the partner's secret in it.
    signal.signal(signal.SIGQUIT, _exit)


def _exit(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)

"""Threads that wait for work, so that none is started for each event."""

import threading
from collections import deque
from collections.abc import Callable

IDLE_SECONDS = 10.0
"""A thread without work for so long ends."""

Work = Callable[[], None]


class Crew:
    """
    As many threads as there is work at once; whoever gives them work bounds it.

    No pool of the standard library: at its end the process would wait for a pool's threads, and
    for what hangs in one of them.
    """

    def __init__(self, name: str, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._name = name
        self._idle_seconds = idle_seconds
        self._given = threading.Condition()
        self._work: deque[Work] = deque()
        self.free = 0
        """Threads that wait, without those that have been given work already."""

    def do(self, work: Work) -> None:
        """Let a thread do it, at once. `work` never raises."""
        with self._given:
            if self.free:
                self.free -= 1
                self._work.append(work)
                self._given.notify()
                return
        threading.Thread(target=self._serve, args=(work,), name=self._name, daemon=True).start()

    def _serve(self, work: Work | None) -> None:
        while work is not None:
            work()
            work = self._next()

    def _next(self) -> Work | None:
        """Wait for work; None if this thread may end."""
        with self._given:
            self.free += 1
            if self._given.wait_for(lambda: self._work, self._idle_seconds):
                return self._work.popleft()
            self.free -= 1
            return None

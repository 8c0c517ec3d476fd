"""
No process is forked while this one uses SQLite.

SQLite keeps in memory which locks its process holds. A child gets a copy of that: where a thread of
its parent was in a transaction, the child finds the file locked for ever, by nobody (measured). The
pool `prefork` forks while the sweep runs, whenever it replaces a child.
"""

import os
import threading

# Its lock is taken at a fork too, and after ours, because it is there first: a thread that is
# waited for may write a line.
import worker.telemetry.one_line  # noqa: F401

LONGEST_SECONDS = 20.0
"""So long a fork waits for a transaction at most."""


class Forks:
    """Counts the threads that use SQLite, and lets a fork wait until there is none."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(
            before=self._wait, after_in_parent=self._go_on, after_in_child=self._begin
        )

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._mine = threading.local()
        self._threads = 0
        self._is_awaited = False

    def use(self) -> None:
        """Say that this thread uses SQLite from now on. While a fork waits, it waits too."""
        with self._changed:
            if self._uses() == 0:
                self._changed.wait_for(lambda: not self._is_awaited, timeout=LONGEST_SECONDS)
                self._threads += 1
            self._mine.uses = self._uses() + 1

    def leave(self) -> None:
        """Say that it does so no more, as often as it has said that it does."""
        with self._changed:
            self._mine.uses = max(self._uses() - 1, 0)
            if self._mine.uses == 0:
                self._threads -= 1
                self._changed.notify_all()

    def _uses(self) -> int:
        uses: int = getattr(self._mine, "uses", 0)
        return uses

    def _wait(self) -> None:
        self._changed.acquire()
        self._is_awaited = True
        others = 1 if self._uses() else 0
        self._changed.wait_for(lambda: self._threads <= others, timeout=LONGEST_SECONDS)

    def _go_on(self) -> None:
        self._is_awaited = False
        self._changed.notify_all()
        self._changed.release()


forks = Forks()

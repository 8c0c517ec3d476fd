"""How long a job waits before the bank is asked again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

RandomSource = Callable[[], float]
"""A source of random numbers in [0, 1), such as `random.random`."""

MIN_RETRY_AFTER = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Equal jitter: waits double from `base` up to `cap`; half is fixed, half is random."""

    base: timedelta
    cap: timedelta

    def wait(self, tries: int, *, jitter: float, retry_after: timedelta | None = None) -> timedelta:
        """
        Return the wait after the given number of tries (1 or more); `jitter` is in [0, 1).

        The server's own `retry_after` replaces the schedule: the wait is never shorter than
        it, and longer by at most half of `base`.
        """
        if retry_after is not None:
            return max(retry_after, MIN_RETRY_AFTER) + self.base / 2 * jitter
        # Half of the wait is fixed and half is random: jobs that failed together do not
        # return together, and none returns at once.
        return self._ceiling(tries) * ((1 + jitter) / 2)

    def _ceiling(self, tries: int) -> timedelta:
        """Return base times two to the tries minus one, never above the cap."""
        # In floats and with a bounded exponent: no timedelta holds 2**1000 seconds.
        seconds = self.base.total_seconds() * 2.0 ** min(max(tries, 1) - 1, 64)
        return timedelta(seconds=seconds) if seconds < self.cap.total_seconds() else self.cap

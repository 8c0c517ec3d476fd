"""How long a job waits before the bank is asked again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

Chance = Callable[[], float]
"""A source of chance in [0, 1), such as `random.random`."""

SHORTEST_ADVICE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Equal jitter: waits double from `base` up to `cap`; half is fixed, half is chance."""

    base: timedelta
    cap: timedelta

    def wait(self, tries: int, *, chance: Chance, advice: timedelta | None = None) -> timedelta:
        """
        Return the wait after the given number of tries (1 or more).

        The bank's own `advice` (Retry-After) outranks the schedule: the wait is never
        shorter than it, and longer only by a spread of at most half of `base`.
        """
        if advice is not None:
            return max(advice, SHORTEST_ADVICE) + self.base / 2 * chance()
        # Half of the wait is fixed and half is chance: jobs that failed together do
        # not return together, and none returns at once.
        return self._ceiling(tries) * ((1 + chance()) / 2)

    def _ceiling(self, tries: int) -> timedelta:
        """Return base times two to the tries minus one, never above the cap."""
        # In floats and with the exponent bounded: 2**1000 seconds is no timedelta.
        seconds = self.base.total_seconds() * 2.0 ** min(max(tries, 1) - 1, 64)
        return timedelta(seconds=seconds) if seconds < self.cap.total_seconds() else self.cap

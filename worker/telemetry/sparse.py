"""Lines that say the same again and again: the first few, then one now and then."""

import time
from collections.abc import Callable
from typing import Final

FIRST: Final = 5
EVERY_SECONDS: Final = 30.0


class Sparse:
    """
    Says which lines of an outage are logged: the first five, then one every 30 s at most.

    An outage may last for hours, and its log must not fill a disk. Safe to share between threads:
    the worst that comes of a race is one line more.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._logged = 0
        self._logged_at = 0.0

    def is_due(self) -> bool:
        """Say whether the next line is to be logged, and count it if it is."""
        now = self._monotonic()
        if self._logged >= FIRST and now - self._logged_at < EVERY_SECONDS:
            return False
        self._logged += 1
        self._logged_at = now
        return True

    def end(self) -> None:
        """Begin anew: the outage is over."""
        self._logged = 0

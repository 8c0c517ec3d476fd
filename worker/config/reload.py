"""Reads the partners' files again while the worker runs."""

import threading
import time
from collections.abc import Callable

from worker.domain.partners import Roster
from worker.errors import SettingsError
from worker.telemetry.log import get_logger
from worker.telemetry.redaction import protect

log = get_logger(__name__)

CHECK_SECONDS = 1.0
"""The shortest time between two checks of the files."""


class LiveRoster:
    """
    Returns the partners of files that may change at any time. Thread-safe.

    A change counts when two checks have found the same: a file may be half written. A broken
    file changes nothing and is logged once. Partners without changes stay the same objects, so
    that calls in flight and open connections are not disturbed.
    """

    def __init__(
        self, read: Callable[[], Roster], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`read` raises `SettingsError` if a file is broken; so does this constructor."""
        self._read = read
        self._monotonic = monotonic
        self._roster = self._candidate = read()
        self._fault = ""
        self._next_check = monotonic() + CHECK_SECONDS
        self._checking = threading.Lock()
        protect(self._roster.secrets())

    def __call__(self) -> Roster:
        """Return the partners; never raises, and checks the files once a second at most."""
        if self._monotonic() >= self._next_check and self._checking.acquire(blocking=False):
            try:
                self._check()
            finally:
                self._checking.release()
        return self._roster

    def _check(self) -> None:
        self._next_check = self._monotonic() + CHECK_SECONDS
        try:
            found = self._read()
        except SettingsError as error:
            self._report(str(error))
            return
        if self._fault:
            self._fault = ""
            log.info("partners_good_again")
        if found == self._roster:
            return
        if found != self._candidate:
            self._candidate = found
            return
        protect(found.secrets())
        self._roster = _merged(self._roster, found)
        log.info("partners_changed", partners=sorted(found))

    def _report(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            log.error("partners_broken", reason=fault, advice="the partners before stay")


def _merged(old: Roster, new: Roster) -> Roster:
    """Return the new partners; those without changes are the old objects."""
    return Roster(
        {name: old[name] if old.get(name) == partner else partner for name, partner in new.items()}
    )

"""The partners as their files say now: they are read again while the worker runs."""

import threading
import time
from collections.abc import Callable

from worker.domain.partners import Roster
from worker.errors import SettingsError
from worker.telemetry.log import get_logger
from worker.telemetry.redaction import protect

log = get_logger(__name__)

CHECK_SECONDS = 1.0
"""So often, at most, the files are looked at."""


class LiveRoster:
    """
    Returns the partners of files that may change at any time. Threads may share it.

    A changed file counts once two looks have found the same: it may be half written. A
    broken one changes nothing, and is told once. Partners that stay the same stay the same
    objects, so that calls in flight and open connections are not disturbed.
    """

    def __init__(
        self, read: Callable[[], Roster], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`read` raises `SettingsError` where a file is broken; here, so does this."""
        self._read = read
        self._monotonic = monotonic
        self._roster = self._candidate = read()
        self._fault = ""
        self._next_look = monotonic() + CHECK_SECONDS
        self._looking = threading.Lock()
        protect(self._roster.secrets())

    def __call__(self) -> Roster:
        """Return the partners; never raises, and looks at the files once a second at most."""
        if self._monotonic() >= self._next_look and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._looking.release()
        return self._roster

    def _look(self) -> None:
        self._next_look = self._monotonic() + CHECK_SECONDS
        try:
            found = self._read()
        except SettingsError as error:
            self._tell(str(error))
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
        self._roster = _keeping(self._roster, found)
        log.info("partners_changed", partners=sorted(found))

    def _tell(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            log.error("partners_broken", reason=fault, advice="the partners before stay")


def _keeping(old: Roster, new: Roster) -> Roster:
    """Return the new partners, those that did not change as the objects they were."""
    return Roster(
        {name: old[name] if old.get(name) == partner else partner for name, partner in new.items()}
    )

"""When the bank is closed: maintenance windows in Bangkok's time, in which no call is made."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Self

from worker.domain.bounds import EARLIEST, LATEST, later
from worker.domain.kplus import BANGKOK

DAY = timedelta(days=1)
_ANY_DAY = later(EARLIEST, 3 * DAY), later(LATEST, -3 * DAY)
"""Times that have a day before and a day after them, in Bangkok too."""
FIRST_YEAR, LAST_YEAR = 2000, 2100
"""Beyond these a window is a slip, and near the end of the calendar no time can be computed."""
_DAILY = re.compile(r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])\Z")


@dataclass(frozen=True, slots=True)
class DailyWindow:
    """The same hours every day; a window that ends before it begins crosses midnight."""

    begins: time
    ends: time

    def end(self, at: datetime) -> datetime | None:
        """Return when the window that contains `at` ends, or None if `at` is outside."""
        if not _ANY_DAY[0] <= at <= _ANY_DAY[1]:
            return None
        local = at.astimezone(BANGKOK)
        for day in (local.date() - DAY, local.date()):
            begins = datetime.combine(day, self.begins, BANGKOK)
            ends = datetime.combine(day, self.ends, BANGKOK)
            ends += DAY if ends <= begins else timedelta(0)
            if begins <= local < ends:
                return ends
        return None


@dataclass(frozen=True, slots=True)
class DatedWindow:
    """One window between two times."""

    begins: datetime
    ends: datetime

    def end(self, at: datetime) -> datetime | None:
        """Return when the window that contains `at` ends, or None if `at` is outside."""
        return self.ends if self.begins <= at < self.ends else None


@dataclass(frozen=True, slots=True)
class Maintenance:
    """All announced windows; the bank's QR pages name one from 22:00 to 02:30."""

    windows: Sequence[DailyWindow | DatedWindow] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """
        Read windows, separated by commas: `22:00-02:30`, or two ISO 8601 times around a `/`.

        Times without an offset are Bangkok's. Raises ValueError, which names the window.
        """
        parts = [part.strip() for part in text.split(",")]
        return cls(tuple(_window(part) for part in parts if part))

    def closed_until(self, at: datetime) -> datetime | None:
        """Return when the bank opens again, or None if it is open at that time."""
        until: datetime | None = None
        # Windows may touch or overlap: each step ends at least one of them.
        for _ in range(len(self.windows) + 1):
            ends = [end for window in self.windows if (end := window.end(until or at)) is not None]
            if not ends:
                return until
            until = max(ends)
        return until


def _window(text: str) -> DailyWindow | DatedWindow:
    try:
        return _daily(text) if "/" not in text else _dated(text)
    except ValueError:
        message = (
            f"{text!r} is no window: write 22:00-02:30 for every day, or "
            "2026-12-05T22:00/2026-12-06T06:00 for one, in Bangkok's time, "
            f"from {FIRST_YEAR} to {LAST_YEAR}"
        )
        raise ValueError(message) from None


def _daily(text: str) -> DailyWindow:
    found = _DAILY.match(text)
    if found is None:
        raise ValueError
    begins, ends = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    if begins == ends:
        raise ValueError
    return DailyWindow(begins, ends)


def _dated(text: str) -> DatedWindow:
    begins, ends = (_moment(part.strip()) for part in text.split("/"))
    if ends <= begins or begins.year < FIRST_YEAR or ends.year > LAST_YEAR:
        raise ValueError
    return DatedWindow(begins, ends)


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=BANGKOK) if at.tzinfo is None else at

"""What a column can hold: the bounds of times, counts, waits and durations. Pure."""

from datetime import UTC, datetime, timedelta

EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
"""Times outside of these exist in PostgreSQL, in which `infinity` is one; in Python they do not."""
LARGEST_COUNT = 1_000_000_000
"""A count goes no higher, so that one more can always be stored."""
LARGEST_INTEGER = 2**31 - 1
LONGEST_WAIT = timedelta(days=3650)
"""A longer wait would reach years that a column cannot hold."""


def later(at: datetime, by: timedelta) -> datetime:
    """Return a time so much later (earlier if negative), or the last (first) one that exists."""
    try:
        return at + by
    except OverflowError:
        return LATEST if by > timedelta(0) else EARLIEST


def bounded_wait(wait: timedelta | None) -> float:
    """Return the seconds of a wait: none is negative, and none is longer than `LONGEST_WAIT`."""
    return min(max(wait or timedelta(0), timedelta(0)), LONGEST_WAIT).total_seconds()


def milliseconds(duration: timedelta) -> int:
    """
    Return a duration as its column holds it.

    A process that was stopped for weeks measures more; one whose clock is wrong, less than nothing.
    """
    return min(max(duration // timedelta(milliseconds=1), 0), LARGEST_INTEGER)

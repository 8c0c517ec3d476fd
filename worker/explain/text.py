"""Times, counts and texts as a person reads them."""

import shlex
from datetime import UTC, datetime, timedelta

from worker.telemetry.printable import printable

NEVER = "-"
_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
# Up to twice the next unit the smaller unit is more exact: "90 s", "100 min", "36 h".
_UNITS = ((2 * _DAY, _DAY, "days"), (2 * _HOUR, _HOUR, "h"), (2 * _MINUTE, _MINUTE, "min"))


def span(duration: timedelta) -> str:
    """Return a duration in its natural unit: `12 s`, `3 min`, `5 h`, `2 days`."""
    seconds = abs(duration.total_seconds())
    for least, unit, name in _UNITS:
        if seconds >= least:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:.0f} s"


def hint(at: datetime, now: datetime) -> str:
    """Return a time relative to now: `in 12 s`, `3 min ago`, `now`."""
    apart = at - now
    if abs(apart.total_seconds()) < 1:
        return "now"
    return f"in {span(apart)}" if apart > timedelta(0) else f"{span(apart)} ago"


def clock(at: datetime) -> str:
    """Return a time to the second, in UTC but without a zone: for columns that name it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def moment(at: datetime | None, now: datetime) -> str:
    """Return a time with its zone and its distance from now."""
    return f"{clock(at)} UTC ({hint(at, now)})" if at else NEVER


def took(milliseconds: int | None) -> str:
    """Return how long a call took."""
    if milliseconds is None:
        return NEVER
    return f"{milliseconds} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"  # noqa: PLR2004 - beyond it nobody reads milliseconds


def shown(value: object) -> str:
    """
    Return a value with every control character written out, so that a terminal may print it.

    Texts of the bank and of any sender may hold escape sequences, which a terminal would run.
    """
    if value is None or value == "":
        return NEVER
    return printable(str(value))


def typed(name: str) -> str:
    """Return a name quoted for a shell: ids may hold characters that a shell interprets."""
    return shlex.quote(name)


def ended(text: str) -> str:
    """Return a sentence with exactly one full stop: texts of others may have one already."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def counted(count: int, noun: str) -> str:
    """Return `1 event`, `2 events`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def jobs(count: int) -> str:
    """Return `1 job`, `2 jobs`."""
    return counted(count, "job")


def times(count: int) -> str:
    """Return `once`, `2 times`."""
    return "once" if count == 1 else f"{count} times"

"""Times and texts as a person reads them."""

import shlex
from datetime import UTC, datetime, timedelta

NEVER = "-"
_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
# Up to twice the next unit, the smaller one says more: "90 s", "100 min", "36 h".
_UNITS = ((2 * _DAY, _DAY, "days"), (2 * _HOUR, _HOUR, "h"), (2 * _MINUTE, _MINUTE, "min"))


def span(duration: timedelta) -> str:
    """Return a duration in its natural unit: `12 s`, `3 min`, `5 h`, `2 days`."""
    seconds = abs(duration.total_seconds())
    for least, unit, name in _UNITS:
        if seconds >= least:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:.0f} s"


def hint(at: datetime, now: datetime) -> str:
    """Return a time as it is felt: `in 12 s`, `3 min ago`, `now`."""
    apart = at - now
    if abs(apart.total_seconds()) < 1:
        return "now"
    return f"in {span(apart)}" if apart > timedelta(0) else f"{span(apart)} ago"


def clock(at: datetime) -> str:
    """Return a time to the second, in UTC, without saying so: for columns that do."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def moment(at: datetime | None, now: datetime) -> str:
    """Return a time with its zone and how far away it is."""
    return f"{clock(at)} UTC ({hint(at, now)})" if at else NEVER


def took(milliseconds: int | None) -> str:
    """Return how long a call took."""
    if milliseconds is None:
        return NEVER
    return f"{milliseconds} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"  # noqa: PLR2004 - beyond it nobody reads milliseconds


def shown(value: object) -> str:
    """
    Return a value that a terminal may print.

    The bank's texts, and messages of anybody's, may hold what a terminal obeys: it is
    shown, not done.
    """
    if value is None or value == "":
        return NEVER
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(value))


def typed(name: str) -> str:
    """Return a name as it is typed in a command: ids may hold what a shell obeys."""
    return shlex.quote(name)


def ended(text: str) -> str:
    """Return a sentence with its full stop: texts of others may bring one, or none."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def jobs(count: int) -> str:
    """Return `1 job`, `2 jobs`."""
    return f"{count} job" if count == 1 else f"{count} jobs"

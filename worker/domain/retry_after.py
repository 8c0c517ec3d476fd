"""`Retry-After` and `Date`, as servers write them: seconds or an HTTP date, and their slips."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz

LONGEST_BELIEVED = timedelta(hours=1)
"""A longer wait is a slip of the server's, if no setting says otherwise."""
NEAR = timedelta(days=1)
"""A number, or a date of another calendar, is read as a moment if it lies so near to now."""
FAR = timedelta(days=36500)
"""What any longer wait is read as."""

_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
# One value of several: the comma of a date belongs to it.
_VALUE = re.compile(r"\s*(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*\s*,)?[^,]+", re.IGNORECASE)
_TWO_DIGIT_YEAR = re.compile(r"-[0-9]{2}\s")
_UNITS = (1, 10**3, 10**6, 10**9)
"""Since 1970 clocks count seconds, milliseconds, microseconds or nanoseconds."""
_MOST_DIGITS = 20
_LONGEST_DATE = 64
_BUDDHIST = -543
_BUDDHIST_TWO_DIGITS = (57, -43)
"""The same of a year of two digits, which is read as one of 1969 to 2068."""


def read_retry_after(value: str | None, *, at: datetime) -> timedelta | None:
    """
    Read both forms of RFC 9110 section 10.2.3: seconds or an HTTP date.

    Of several values the longest counts. A moment in place of seconds (since 1970), and a year
    of the Buddhist calendar, are read as what was meant. A moment that has just passed means no
    wait. An unreadable value, and a date long past, count as absent. Whether a long wait is
    believed is the caller's to say.
    """
    if value is None or not value.isascii():
        return None
    waits = [_read(text.strip(), at) for text in _VALUE.findall(value)]
    return max((wait for wait in waits if wait is not None), default=None)


def believed(wait: timedelta | None, longest: timedelta = LONGEST_BELIEVED) -> timedelta | None:
    """Return a wait that may be meant; None for a slip."""
    return wait if wait is not None and wait <= longest else None


def _read(text: str, at: datetime) -> timedelta | None:
    if _SECONDS.fullmatch(text):
        return _read_number(text.lstrip("0"), at)
    return _read_date(text, at)


def _read_number(text: str, at: datetime) -> timedelta:
    # Python refuses to read an integer of thousands of digits.
    if len(text.partition(".")[0]) > _MOST_DIGITS:
        return FAR
    number, now = float(f"0{text}"), at.timestamp()
    for unit in _UNITS:
        ahead = number / unit - now
        if abs(ahead) <= NEAR.total_seconds():
            return timedelta(seconds=max(ahead, 0.0))
    return timedelta(seconds=min(number, FAR.total_seconds()))


def _read_date(text: str, at: datetime) -> timedelta | None:
    ahead = [moment - at for moment in _moments(text)]
    near = (wait for wait in ahead if abs(wait) <= NEAR)
    wait = next(near, ahead[0] if ahead else None)
    if wait is None or wait < -NEAR:
        return None
    return max(timedelta(0), min(wait, FAR))


def _moments(text: str) -> Iterator[datetime]:
    """Yield what a date may mean, the plain reading first."""
    if len(text) > _LONGEST_DATE:  # the library takes quadratic time
        return
    parsed = None
    with suppress(ValueError, OverflowError, IndexError, TypeError):  # of a date that is odd enough
        parsed = parsedate_tz(text)
    if parsed is None:
        return
    more = _BUDDHIST_TWO_DIGITS if _TWO_DIGIT_YEAR.search(text) else ()
    for years in (0, _BUDDHIST, *more):
        try:
            # The year first: the 29th of February of a Buddhist year is no date as it stands.
            zone = timezone(timedelta(seconds=parsed[9] or 0))
            year, month, day, hour, minute, second = parsed[:6]
            local = datetime(year + years, month, day, hour, minute, second, tzinfo=zone)
            yield local.astimezone(UTC)
        except (ValueError, OverflowError):
            continue


def read_http_date(value: str) -> datetime | None:
    """Read an HTTP date (RFC 9110 section 5.6.7); None if it cannot be read."""
    return next(_moments(value.strip()), None)

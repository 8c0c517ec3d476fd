"""`Retry-After`, as servers write it: seconds or an HTTP date."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST_WAIT = timedelta(days=1)


def read_retry_after(value: str | None, *, at: datetime) -> timedelta | None:
    """
    Read `Retry-After` in both forms of RFC 9110 section 10.2.3: seconds or an HTTP date.

    A date in the past means at once; an unreadable value counts as absent. The wait is
    capped at a day, so that a slip of the bank's cannot put a job to sleep for years.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # Few digits are enough: more would be an integer that Python refuses to read.
        return min(timedelta(seconds=int(text.lstrip("0")[:9] or "0")), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(timedelta(0), min(aware - at, LONGEST_WAIT))

"""`Retry-After` and `Date`, as servers write them: seconds or an HTTP date."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = timedelta(days=1)


def read_retry_after(value: str | None, *, at: datetime) -> timedelta | None:
    """
    Read both forms of RFC 9110 section 10.2.3: seconds or an HTTP date.

    A date in the past means no wait; an unreadable value counts as absent. The wait is capped
    at a day: a mistake of the server must not stop a job for years.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # Nine digits are enough; Python refuses to read an integer of thousands of digits.
        return min(timedelta(seconds=int(text.lstrip("0")[:9] or "0")), MAX_RETRY_AFTER)
    until = read_http_date(text)
    return None if until is None else max(timedelta(0), min(until - at, MAX_RETRY_AFTER))


def read_http_date(value: str) -> datetime | None:
    """Read an HTTP date (RFC 9110 section 5.6.7); None if it cannot be read."""
    try:
        at = parsedate_to_datetime(value.strip())
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)

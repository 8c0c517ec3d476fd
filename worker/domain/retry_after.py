"""`Retry-After`, as servers write it: seconds or an HTTP date."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = timedelta(days=1)
_LONGEST_DATE = 64


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
    if len(text) > _LONGEST_DATE:
        return None
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(timedelta(0), min(aware - at, MAX_RETRY_AFTER))

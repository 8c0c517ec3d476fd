"""Times as text have one form everywhere: UTC, microseconds, Z."""

from datetime import UTC, datetime, timedelta, timezone

from worker.domain.times import iso

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_a_time_is_written_in_utc_whatever_its_offset() -> None:
    in_bangkok = NOON.astimezone(timezone(timedelta(hours=7)))
    assert iso(in_bangkok) == "2026-03-01T12:00:00.000000Z"


def test_a_time_has_six_digits_of_a_second_also_where_they_are_zeros() -> None:
    """Receivers that read a fixed pattern fail on a form that changes with the value."""
    assert iso(NOON + timedelta(milliseconds=120)) == "2026-03-01T12:00:00.120000Z"
    assert len(iso(NOON)) == len(iso(NOON + timedelta(microseconds=1)))

"""What a column can hold: every number from clocks and headers comes within its bounds."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.domain.bounds import (
    EARLIEST,
    LARGEST_INTEGER,
    LATEST,
    LONGEST_WAIT,
    bounded_wait,
    later,
    milliseconds,
)
from worker.domain.maintenance import Maintenance


@pytest.mark.parametrize(
    ("duration", "stored"),
    [
        (timedelta(milliseconds=120.6), 120),
        (timedelta(days=25), LARGEST_INTEGER),
        (timedelta.max, LARGEST_INTEGER),
        (timedelta(seconds=-1), 0),
        (timedelta.min, 0),
    ],
)
def test_a_duration_comes_within_its_column(duration: timedelta, stored: int) -> None:
    assert milliseconds(duration) == stored


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        (None, 0.0),
        (timedelta(seconds=1.5), 1.5),
        (timedelta(seconds=-1), 0.0),
        (timedelta.max, LONGEST_WAIT.total_seconds()),
    ],
)
def test_a_wait_ends_in_a_year_that_can_be_stored(wait: timedelta | None, seconds: float) -> None:
    assert bounded_wait(wait) == seconds


def test_what_is_later_than_all_times_is_the_last_of_them() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert later(noon, timedelta(days=1)) == noon + timedelta(days=1)
    assert later(LATEST, timedelta(days=1)) == LATEST
    assert later(EARLIEST, timedelta(days=-1)) == EARLIEST


@pytest.mark.parametrize("at", [EARLIEST, LATEST])
def test_the_bank_is_open_at_times_that_have_no_day_before_or_after(at: datetime) -> None:
    assert Maintenance.read("22:00-02:30").closed_until(at) is None

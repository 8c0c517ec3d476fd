"""Windows in which the bank is closed, in Bangkok's time."""

from datetime import datetime

import pytest

from worker.domain.kplus import BANGKOK
from worker.domain.maintenance import Maintenance


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BANGKOK)


def until(windows: str, moment: str) -> str | None:
    end = Maintenance.read(windows).closed_until(at(moment))
    return None if end is None else end.astimezone(BANGKOK).isoformat(timespec="minutes")[:16]


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2026-11-23T21:59:59", None),
        ("2026-11-23T22:00", "2026-11-24T02:30"),
        ("2026-11-24T00:00", "2026-11-24T02:30"),
        ("2026-11-24T02:29:59", "2026-11-24T02:30"),
        ("2026-11-24T02:30", None),
    ],
)
def test_hours_over_midnight_belong_to_one_window(moment: str, end: str | None) -> None:
    assert until("22:00-02:30", moment) == end


def test_hours_within_a_day_are_closed_on_that_day_alone() -> None:
    assert until("01:00-03:00", "2026-11-23T02:00") == "2026-11-23T03:00"
    assert until("01:00-03:00", "2026-11-23T04:00") is None


@pytest.mark.parametrize(
    "window",
    [
        "2026-12-05T22:00/2026-12-06T06:00",
        "2026-12-05T15:00+00:00/2026-12-05T23:00Z",
        " 2026-12-05T22:00 / 2026-12-06T06:00 ,",
    ],
)
def test_one_window_by_its_dates(window: str) -> None:
    assert until(window, "2026-12-05T21:59") is None
    assert until(window, "2026-12-06T05:00") == "2026-12-06T06:00"
    assert until(window, "2026-12-06T06:00") is None


def test_windows_that_touch_or_overlap_are_one() -> None:
    windows = "22:00-02:30, 02:30-03:00, 2026-11-24T02:00/2026-11-24T05:00"
    assert until(windows, "2026-11-23T23:00") == "2026-11-24T05:00"


def test_a_bank_that_never_opens_is_closed_for_a_bounded_time() -> None:
    assert until("00:00-12:00, 12:00-00:00", "2026-11-23T01:00") is not None


def test_without_windows_the_bank_is_open() -> None:
    assert until("", "2026-11-23T23:00") is None


@pytest.mark.parametrize(
    "wrong",
    [
        "22:00",
        "25:00-02:00",
        "22:00-22:00",
        "tomorrow",
        "2026-12-05/x",
        "2026-12-06/2026-12-05",
        "/",
    ],
)
def test_a_window_that_cannot_be_read_is_named(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no window: write 22:00-02:30"):
        Maintenance.read(wrong)

"""`Retry-After` in both forms of RFC 9110 section 10.2.3, and what servers send by mistake."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cases import NOW, answer
from worker.domain.retry_after import FAR, LONGEST_BELIEVED, believed, read_retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("30", 30),
        (" 30 ", 30),
        ("0" * 5000 + "30", 30),
        ("1.5", 1.5),
        ("86400", 86400),
        ("86401", 86401),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30),
        ("Sun Mar  1 12:00:30 2026", 30),
        ("Sun, 01 Mar 2026 19:00:30 +0700", 30),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Sunday, 01-Mar-26 11:00:00 GMT", 0),
        ("30, 60", 60),
        ("soon, 60", 60),
        ("Sun, 01 Mar 2026 12:00:30 GMT, 20", 30),
        ("20, Sun, 01 Mar 2026 12:00:30 GMT", 30),
    ],
)
def test_both_forms_are_read(value: str, seconds: int) -> None:
    assert read_retry_after(value, at=NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "-5",
        "+5",
        "1e3",
        "1.",
        "0x1e",
        "soon",
        "²",
        "٣٠",
        "๓๐",
        "Sun, 01 Mar ๒๐๒๖ 12:00:30 GMT",
        "Sun, 01 Mar 2015 12:00:30 GMT",
        "Thursday, 01-Jan-70 00:00:00 GMT",
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
        "Wed, 21 Oct 2015 07:28:00 +99999999999999",
        "Wed, 32 Oct 2015 07:28:00 GMT",
    ],
)
def test_an_unreadable_value_counts_as_absent(value: str | None) -> None:
    assert read_retry_after(value, at=NOW) is None


@given(
    st.text()
    | st.from_regex(r"[A-Z][a-z]{2}, \d{1,25} (Jan|Oct) -?\d{1,25} \d{1,9}:\d+(:\d+)? .\d{1,22}")
)
def test_no_value_breaks_the_reading(value: str) -> None:
    wait = read_retry_after(value, at=NOW)
    assert wait is None or timedelta(0) <= wait <= FAR


@given(st.integers(0, 86400))
def test_a_wait_is_never_shorter_than_advised(seconds: int) -> None:
    moment = NOW + timedelta(seconds=seconds)
    for value in (str(seconds), f"{seconds:030}", format_datetime(moment)):
        assert read_retry_after(value, at=NOW) == timedelta(seconds=seconds)


def epoch(unit: int, seconds: float) -> str:
    return f"{(NOW.timestamp() + seconds) * unit:.0f}"


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_a_moment_in_place_of_seconds_is_read_as_that_moment(unit: int) -> None:
    for seconds, wait in ((90, 90), (0, 0), (-90, 0), (7200, 7200), (-86000, 0)):
        read = read_retry_after(epoch(unit, seconds), at=NOW)
        assert read is not None
        assert abs(read - timedelta(seconds=wait)) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 01 Mar 2569 12:00:30 GMT",
        "Sun, 01 Mar 2569 19:00:30 +0700",
        "01 Mar 2569 12:00:30",
        "Sunday, 01-Mar-69 12:00:30 GMT",
    ],
)
def test_a_year_of_the_buddhist_calendar_is_read_as_what_was_meant(value: str) -> None:
    assert read_retry_after(value, at=NOW) == timedelta(seconds=30)


@pytest.mark.parametrize("text", ["Thu, 29 Feb 2567 12:00:30 GMT", "Thu, 29 Feb 2024 12:00:30 GMT"])
def test_a_leap_day_of_the_buddhist_calendar_is_a_day(text: str) -> None:
    """2567 has no 29th of February as years of the common era go."""
    now = datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert read_retry_after(text, at=now) == timedelta(seconds=30)


@pytest.mark.parametrize(
    "value",
    [
        "9" * 20,
        "9" * 5000,
        "9999999999",
        epoch(1, 100 * 86400),
        "120000",
        "Sun, 01 Mar 2099 11:00:00 GMT",
        "Sun, 01 Mar 2570 12:00:30 GMT",
        "Sun, 01 Mar 2026 15:00:30 GMT",
        "Sun, 01 Mar 9999 12:00:30 GMT",
    ],
)
def test_a_long_wait_is_read_and_not_believed(value: str) -> None:
    wait = read_retry_after(value, at=NOW)
    assert wait is not None
    assert LONGEST_BELIEVED < wait <= FAR
    assert believed(wait) is None


def test_a_wait_is_believed_up_to_a_limit() -> None:
    assert believed(LONGEST_BELIEVED) == LONGEST_BELIEVED
    assert believed(timedelta(minutes=2), timedelta(minutes=1)) is None
    assert believed(None) is None


def test_an_answer_carries_the_advice_of_its_header_and_what_was_sent() -> None:
    told = answer(b"", headers={"retry-after": "7"})
    assert (told.retry_after, told.retry_after_text) == (timedelta(seconds=7), "7")
    assert answer(b"").retry_after is None
    odd = answer(b"", headers={"retry-after": "x" * 999})
    assert (odd.retry_after, len(odd.retry_after_text)) == (None, 200)

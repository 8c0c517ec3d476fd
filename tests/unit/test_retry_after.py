"""`Retry-After` in both forms of RFC 9110 section 10.2.3."""

from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cases import NOW, answer
from worker.domain.retry_after import MAX_RETRY_AFTER, read_retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("30", 30),
        (" 30 ", 30),
        ("0" * 5000 + "30", 30),
        ("86400", 86400),
        ("86401", 86400),
        ("9" * 5000, 86400),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30),
        ("Sun Mar  1 12:00:30 2026", 30),
        ("Sun, 01 Mar 2026 19:00:30 +0700", 30),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Sun, 01 Mar 2099 11:00:00 GMT", 86400),
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
        "1.5",
        "soon",
        "30, 60",
        "²",
        "٣٠",
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
    assert wait is None or timedelta(0) <= wait <= MAX_RETRY_AFTER


@given(st.integers(0, 86400))
def test_a_wait_is_never_shorter_than_advised(seconds: int) -> None:
    moment = NOW + timedelta(seconds=seconds)
    for value in (str(seconds), f"{seconds:030}", format_datetime(moment)):
        assert read_retry_after(value, at=NOW) == timedelta(seconds=seconds)


def test_an_answer_carries_the_advice_of_its_header() -> None:
    assert answer(b"", headers={"retry-after": "7"}).retry_after == timedelta(seconds=7)
    assert answer(b"").retry_after is None

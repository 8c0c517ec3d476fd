"""Waits: half fixed, half chance, doubling to a cap, and the bank's advice above all."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.backoff import MIN_RETRY_AFTER, Backoff

BASE, CAP = timedelta(seconds=2), timedelta(seconds=300)
BACKOFF = Backoff(base=BASE, cap=CAP)

jitters = st.floats(min_value=0, max_value=1, exclude_max=True)
lengths = st.timedeltas(timedelta(milliseconds=1), timedelta(days=3650))


@pytest.mark.parametrize(
    ("tries", "seconds"), [(1, 2), (2, 4), (3, 8), (7, 128), (8, 256), (9, 300), (10, 300)]
)
def test_the_ceiling_doubles_up_to_the_cap(tries: int, seconds: int) -> None:
    ceiling = timedelta(seconds=seconds)
    assert BACKOFF.wait(tries, jitter=0.0) == ceiling / 2
    assert BACKOFF.wait(tries, jitter=0.5) == ceiling * 3 / 4


@given(tries=st.integers(1, 10**6), jitter=jitters)
def test_a_wait_lies_between_half_and_all_of_its_ceiling(tries: int, jitter: float) -> None:
    ceiling = min(BASE * 2 ** min(tries - 1, 30), CAP)
    assert ceiling / 2 <= BACKOFF.wait(tries, jitter=jitter) <= ceiling


@given(base=lengths, cap=lengths, tries=st.integers(-1, 10**6), jitter=jitters)
def test_no_base_cap_or_number_of_tries_overflows(
    base: timedelta, cap: timedelta, tries: int, jitter: float
) -> None:
    wait = Backoff(base=base, cap=cap).wait(tries, jitter=jitter)
    assert min(base, cap) / 2 <= wait <= cap


@given(tries=st.integers(1, 40), jitter=jitters)
def test_a_later_try_never_waits_less(tries: int, jitter: float) -> None:
    assert BACKOFF.wait(tries, jitter=jitter) <= BACKOFF.wait(tries + 1, jitter=jitter)


@pytest.mark.parametrize("tries", [0, -5])
def test_a_job_never_tried_waits_like_one_tried_once(tries: int) -> None:
    assert BACKOFF.wait(tries, jitter=0.25) == BACKOFF.wait(1, jitter=0.25)


@given(
    retry_after=st.timedeltas(timedelta(0), timedelta(days=1)),
    tries=st.integers(1, 10**6),
    jitter=jitters,
)
def test_advice_is_never_undercut_and_hardly_exceeded(
    retry_after: timedelta, tries: int, jitter: float
) -> None:
    wait = BACKOFF.wait(tries, jitter=jitter, retry_after=retry_after)
    assert max(retry_after, MIN_RETRY_AFTER) <= wait <= max(retry_after, MIN_RETRY_AFTER) + BASE / 2


def test_advice_outranks_the_schedule_in_both_directions() -> None:
    short, long = timedelta(seconds=5), timedelta(hours=2)
    assert BACKOFF.wait(20, jitter=0.0, retry_after=short) == short
    assert BACKOFF.wait(1, jitter=0.0, retry_after=long) == long


def test_advice_to_come_back_at_once_still_waits_a_moment() -> None:
    """Retry-After: 0 from a bank in trouble must not become a busy loop."""
    assert BACKOFF.wait(1, jitter=0.0, retry_after=timedelta(0)) == MIN_RETRY_AFTER


@pytest.mark.parametrize("retry_after", [None, timedelta(seconds=30)])
def test_jobs_that_failed_together_do_not_return_together(retry_after: timedelta | None) -> None:
    draws: Iterator[float] = iter([0.0, 0.3, 0.9])
    waits = {BACKOFF.wait(4, jitter=next(draws), retry_after=retry_after) for _ in range(3)}
    assert len(waits) == 3

"""Waits: half fixed, half chance, doubling to a cap, and the bank's advice above all."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.backoff import SHORTEST_ADVICE, Backoff

BASE, CAP = timedelta(seconds=2), timedelta(seconds=300)
BACKOFF = Backoff(base=BASE, cap=CAP)

chances = st.floats(min_value=0, max_value=1, exclude_max=True)
lengths = st.timedeltas(timedelta(milliseconds=1), timedelta(days=3650))


@pytest.mark.parametrize(
    ("tries", "seconds"), [(1, 2), (2, 4), (3, 8), (7, 128), (8, 256), (9, 300), (10, 300)]
)
def test_the_ceiling_doubles_up_to_the_cap(tries: int, seconds: int) -> None:
    ceiling = timedelta(seconds=seconds)
    assert BACKOFF.wait(tries, chance=lambda: 0.0) == ceiling / 2
    assert BACKOFF.wait(tries, chance=lambda: 0.5) == ceiling * 3 / 4


@given(tries=st.integers(1, 10**6), chance=chances)
def test_a_wait_lies_between_half_and_all_of_its_ceiling(tries: int, chance: float) -> None:
    ceiling = min(BASE * 2 ** min(tries - 1, 30), CAP)
    assert ceiling / 2 <= BACKOFF.wait(tries, chance=lambda: chance) <= ceiling


@given(base=lengths, cap=lengths, tries=st.integers(-1, 10**6), chance=chances)
def test_no_base_cap_or_number_of_tries_overflows(
    base: timedelta, cap: timedelta, tries: int, chance: float
) -> None:
    wait = Backoff(base=base, cap=cap).wait(tries, chance=lambda: chance)
    assert min(base, cap) / 2 <= wait <= cap


@given(tries=st.integers(1, 40), chance=chances)
def test_a_later_try_never_waits_less(tries: int, chance: float) -> None:
    assert BACKOFF.wait(tries, chance=lambda: chance) <= BACKOFF.wait(
        tries + 1, chance=lambda: chance
    )


@pytest.mark.parametrize("tries", [0, -5])
def test_a_job_never_tried_waits_like_one_tried_once(tries: int) -> None:
    assert BACKOFF.wait(tries, chance=lambda: 0.25) == BACKOFF.wait(1, chance=lambda: 0.25)


@given(
    advice=st.timedeltas(timedelta(0), timedelta(days=1)),
    tries=st.integers(1, 10**6),
    chance=chances,
)
def test_advice_is_never_undercut_and_hardly_exceeded(
    advice: timedelta, tries: int, chance: float
) -> None:
    wait = BACKOFF.wait(tries, chance=lambda: chance, advice=advice)
    assert max(advice, SHORTEST_ADVICE) <= wait <= max(advice, SHORTEST_ADVICE) + BASE / 2


def test_advice_outranks_the_schedule_in_both_directions() -> None:
    short, long = timedelta(seconds=5), timedelta(hours=2)
    assert BACKOFF.wait(20, chance=lambda: 0.0, advice=short) == short
    assert BACKOFF.wait(1, chance=lambda: 0.0, advice=long) == long


def test_advice_to_come_back_at_once_still_waits_a_moment() -> None:
    """Retry-After: 0 from a bank in trouble must not become a busy loop."""
    assert BACKOFF.wait(1, chance=lambda: 0.0, advice=timedelta(0)) == SHORTEST_ADVICE


@pytest.mark.parametrize("advice", [None, timedelta(seconds=30)])
def test_jobs_that_failed_together_do_not_return_together(advice: timedelta | None) -> None:
    draws: Iterator[float] = iter([0.0, 0.3, 0.9])
    waits = {BACKOFF.wait(4, chance=lambda: next(draws), advice=advice) for _ in range(3)}
    assert len(waits) == 3

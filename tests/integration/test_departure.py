"""A call leaves at its slot of the partner's rate, or takes another one: none leaves late."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

import pytest

from tests.integration.attempting import accept, posts
from tests.integration.stock import AGAIN, NOON, Clock, attempts, only, partner, row
from tests.servers.workers import PARTNER_ID
from worker.domain.partners import Partner, Roster
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext, Result
from worker.sandbox import Sandbox
from worker.store import Store

SPACING: Final = timedelta(seconds=1 / 4.5)


@dataclass
class Sleeper:
    """Seconds of a thread that wakes too late, by as much as is told, sleep after sleep."""

    late: Iterator[float]
    at: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.at += seconds + next(self.late, 0.0)


@pytest.fixture
def limited(context: AttemptContext, roster: Roster, store: Store, clock: Clock) -> AttemptContext:
    """What an attempt needs, of a proven partner with five calls a second; the first has left."""
    known = Partner.model_validate({**roster[PARTNER_ID].model_dump(), "rate_per_second": 5})
    partners = Roster({PARTNER_ID: known})
    found = replace(context, roster=lambda: partners)
    accept(store, "ok-0", uid="U0")
    assert attempt("U0", found) is Result.SETTLED
    assert partner(store, PARTNER_ID)["slot_at"] == clock.now
    return found


def with_sleeper(context: AttemptContext, *late: float) -> tuple[AttemptContext, Sleeper]:
    sleeper = Sleeper(iter(late))
    return replace(context, monotonic=sleeper, sleep=sleeper.sleep), sleeper


def test_a_call_waits_for_its_slot(limited: AttemptContext, store: Store) -> None:
    accept(store, "ok-1")
    context, sleeper = with_sleeper(limited, 0.09)
    assert attempt("U1", context) is Result.SETTLED
    assert sleeper.slept == [round(SPACING.total_seconds(), 3)]
    assert partner(store, PARTNER_ID)["slot_at"] == NOON + SPACING


def test_a_call_that_missed_its_slot_takes_another(
    limited: AttemptContext, store: Store, sandbox: Sandbox
) -> None:
    """As far ahead again as it was late twice over: the next delay may be as long."""
    accept(store, "ok-1")
    context, sleeper = with_sleeper(limited, 0.2)
    assert attempt("U1", context) is Result.SETTLED
    assert sleeper.slept == [round(SPACING.total_seconds(), 3), 0.444]
    assert partner(store, PARTNER_ID)["slot_at"] == NOON + 2 * SPACING
    assert posts(sandbox) == 1
    assert only(row(store), "state", "attempts", "conversations") == ("succeeded", 1, 1)


def test_a_call_that_misses_every_slot_is_given_back_and_spends_nothing(
    limited: AttemptContext, store: Store, sandbox: Sandbox
) -> None:
    accept(store, "ok-1")
    context, _ = with_sleeper(limited, *[0.5] * 20)
    assert attempt("U1", context) is Result.SETTLED
    assert posts(sandbox) == 0
    assert only(row(store), "state", "attempts", "conversations") == ("retryable", 0, 1)
    assert [only(each, "heard", "spent") for each in attempts(store)] == [("slot_missed", False)]
    assert partner(store, PARTNER_ID)["failures"] == 0


def test_no_other_slot_is_taken_for_a_partner_that_rests_by_then(
    limited: AttemptContext, store: Store, sandbox: Sandbox
) -> None:
    accept(store, "ok-1")

    def sleep(seconds: float) -> None:
        sleeper.sleep(seconds)
        store.actions.pause_partner(PARTNER_ID, who="op", reason="maintenance")

    context, sleeper = with_sleeper(limited, 0.3)
    assert attempt("U1", replace(context, sleep=sleep)) is Result.SETTLED
    assert posts(sandbox) == 0
    assert [each["heard"] for each in attempts(store)] == ["slot_missed"]


def test_a_call_whose_connection_was_made_too_late_takes_another_slot(
    limited: AttemptContext, store: Store, sandbox: Sandbox
) -> None:
    """After an outage connections are made together; what counts is when the first byte leaves."""
    accept(store, "ok-1")
    context, sleeper = with_sleeper(limited)
    ask = context.bank.cancel

    def slow(*args: object, leaving: object, **options: object) -> object:
        calls = iter((0.0, 0.3))

        def late() -> None:
            sleeper.at += next(calls)
            leaving()  # type: ignore[operator]

        return ask(*args, leaving=late, **options)  # type: ignore[arg-type]

    context.bank.cancel = slow  # type: ignore[method-assign,assignment]
    assert attempt("U1", context) is Result.SETTLED
    assert len(sleeper.slept) == 2
    assert posts(sandbox) == 1
    assert row(store)["state"] == "succeeded"


def test_calls_without_a_rate_never_look_at_the_time(
    context: AttemptContext, store: Store, sandbox: Sandbox
) -> None:
    accept(store, "ok-1")
    slow, sleeper = with_sleeper(context, *[9.0] * 9)
    assert attempt("U1", slow) is Result.SETTLED
    assert (sleeper.slept, posts(sandbox)) == ([], 1)
    assert store.backlog.hint(high_water=9, again_after=AGAIN, roster=context.roster()) == []

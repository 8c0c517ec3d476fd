"""One pass of the sweep: rescue, exhaust, hint; in any number of copies."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    CANCELLED,
    LEASE,
    LOST,
    MAX_AGE,
    NOON,
    SECOND,
    Clock,
    accept,
    attempts,
    claimed,
    only,
    row,
    settle,
)
from worker.config.dialect_file import built_in
from worker.domain.backoff import Backoff
from worker.domain.decision import Policy
from worker.domain.partners import Roster
from worker.domain.states import Outcome, State
from worker.jobs.sweep import SweepContext, SweepResult, rescue, sweep
from worker.store import Store

POLICY = Policy(
    dialect=built_in(),
    backoff=Backoff(base=timedelta(seconds=2), cap=timedelta(seconds=300)),
    inquiry_backoff=Backoff(base=timedelta(seconds=2), cap=timedelta(seconds=300)),
    max_attempts=2,
    max_age=MAX_AGE,
)


def none() -> Roster:
    return Roster({})


def context(store: Store, hinted: list[str] | None = None) -> SweepContext:
    heard = [] if hinted is None else hinted
    return SweepContext(
        store=store,
        policy=POLICY,
        high_water=10,
        hint=heard.extend,
        random=lambda: 0.5,
        roster=none,
    )


def test_a_pass_does_all_three_and_says_how_much(store: Store, clock: Clock) -> None:
    accept(store, "silent", "due", "final")
    accept(store, "old", expires_at=NOON + SECOND)
    claimed(store, "silent")
    settle(store, claimed(store, "final"), CANCELLED)
    clock.forward(LEASE)
    hinted: list[str] = []
    assert sweep(context(store, hinted)) == SweepResult(rescued=1, exhausted=1, hinted=1)
    assert hinted == ["due"]
    assert row(store, "silent")["state"] == State.IN_DOUBT
    assert row(store, "old")["outcome"] == Outcome.LAPSED
    assert sweep(context(store, hinted)) == SweepResult(rescued=0, exhausted=0, hinted=0)


def test_nothing_to_hint_sends_nothing(store: Store) -> None:
    def never(_uids: list[str]) -> None:
        pytest.fail("there was nothing to hint at")

    assert sweep(SweepContext(store, POLICY, 10, never, lambda: 0.5, none)) == SweepResult(0, 0, 0)


def test_a_rescued_job_is_in_doubt_with_evidence_and_a_wait(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    claimed(store)
    clock.forward(2 * LEASE)
    assert rescue(context(store)) == 1
    assert only(row(store), "state", "doubted", "attempts") == (State.IN_DOUBT, True, 1)
    assert row(store)["next_attempt_at"] == clock.now + timedelta(seconds=1.5)
    (evidence,) = attempts(store)
    assert only(evidence, "heard", "decision", "spent", "http_status", "duration_ms") == (
        "lease_ended",
        "doubt",
        True,
        None,
        60_000,
    )


def test_the_last_attempt_that_fell_silent_is_unknown(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    for _ in range(POLICY.max_attempts):
        claimed(store)
        clock.forward(LEASE)
        rescue(context(store))
        clock.forward(300)
    assert only(row(store), "state", "outcome", "doubted") == (
        State.EXHAUSTED,
        Outcome.UNKNOWN,
        True,
    )


def test_an_attempt_that_fell_silent_after_its_tokens_expiry_is_unknown(
    store: Store, clock: Clock
) -> None:
    """Nobody can pay the token any more, but it may have been paid before."""
    accept(store, "U1", expires_at=NOON + LEASE)
    claimed(store)
    clock.forward(LEASE)
    rescue(context(store))
    assert row(store)["outcome"] == Outcome.UNKNOWN


def test_a_rescue_says_nothing_about_the_partner(store: Store, clock: Clock) -> None:
    uids = [f"U{n}" for n in range(8)]
    accept(store, *uids)
    for uid in uids:
        claimed(store, uid)
    clock.forward(LEASE)
    assert rescue(context(store)) == 8
    assert store.partners.all() == []


def test_a_worker_that_comes_back_first_keeps_its_job(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    mine = claimed(store)
    clock.forward(LEASE)
    assert settle(store, mine, LOST)
    assert rescue(context(store)) == 0
    assert attempts(store)[0]["heard"] == "read_timeout"


def test_copies_of_the_sweep_rescue_each_job_once_and_hint_each_once(
    open_store: OpenStore, clock: Clock
) -> None:
    stores = [open_store(clock) for _ in range(4)]
    silent, due = [f"S{n}" for n in range(20)], [f"D{n}" for n in range(10)]
    accept(stores[0], *silent, *due)
    for uid in silent:
        claimed(stores[0], uid)
    clock.forward(LEASE)
    hinted: list[str] = []
    with ThreadPoolExecutor(4) as threads:
        passes = list(threads.map(lambda store: sweep(context(store, hinted)), stores))
    assert sum(each.rescued for each in passes) == 20
    assert sorted(hinted) == sorted(due)
    assert all(len(attempts(stores[0], uid)) == 1 for uid in silent)


def test_a_step_that_fails_keeps_no_later_one_from_its_work(store: Store, clock: Clock) -> None:
    """What no step expects is raised, once all of them had their turn."""
    accept(store, "U1")
    clock.forward(1)
    hinted: list[str] = []
    failing = iter([True])

    def roster() -> Roster:
        if next(failing, False):
            raise OverflowError("the first to ask is the step before the hints")
        return none()

    with pytest.raises(OverflowError, match="the first to ask"):
        sweep(replace(context(store, hinted), roster=roster))
    assert hinted == ["U1"]


def test_while_the_bank_is_closed_no_job_is_hinted_at(store: Store) -> None:
    accept(store, "U1")
    assert sweep(replace(context(store), closed=lambda: True)).hinted == 0
    assert row(store)["hinted_at"] is None
    assert sweep(context(store)).hinted == 1

"""The conveyor: which jobs the sweep hints at, in which order, and how many."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import event, text

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    AGAIN,
    BUSY,
    LEASE,
    NOON,
    SECOND,
    Clock,
    accept,
    claim,
    claimed,
    hint,
    row,
    settle,
)
from worker.store import Store


def test_due_jobs_are_hinted_and_stamped(store: Store, clock: Clock) -> None:
    accept(store, "U1", "U2")
    clock.forward(1)
    assert sorted(hint(store)) == ["U1", "U2"]
    assert row(store)["hinted_at"] == clock.now
    assert row(store)["updated_at"] == NOON


def test_the_earliest_expiry_goes_first_and_no_expiry_last(store: Store, clock: Clock) -> None:
    accept(store, "never-1")
    clock.forward(1)
    accept(store, "never-2")
    for minutes in (30, 10, 20):
        accept(store, f"in-{minutes}", expires_at=NOON + timedelta(minutes=minutes))
    clock.forward(1)
    in_order = ["in-10", "in-20", "in-30", "never-1", "never-2"]
    assert hint(store, high_water=2) == in_order[:2]
    clock.forward(AGAIN)
    assert hint(store) == in_order


def test_a_job_whose_time_has_not_come_is_not_hinted(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    settle(store, claimed(store), BUSY)
    assert hint(store) == []
    assert BUSY.wait is not None
    clock.forward(BUSY.wait)
    assert hint(store) == ["U1"]


def test_a_stamp_is_not_repeated_before_it_is_stale(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    assert hint(store) == ["U1"]
    clock.forward(AGAIN - SECOND)
    assert hint(store) == []
    clock.forward(SECOND)
    assert hint(store) == ["U1"]
    assert row(store)["hinted_at"] == clock.now


def test_no_more_jobs_are_on_the_conveyor_than_the_high_water_mark(
    store: Store, clock: Clock
) -> None:
    accept(store, *(f"U{n}" for n in range(10)))
    assert len(hint(store, high_water=4)) == 4
    assert hint(store, high_water=4) == []
    assert len(hint(store, high_water=6)) == 2
    clock.forward(AGAIN)
    assert len(hint(store, high_water=4)) == 4


def test_a_job_that_is_claimed_leaves_the_conveyor(store: Store) -> None:
    accept(store, "U1", "U2")
    (first,) = hint(store, high_water=1)
    claimed(store, first)
    assert row(store, first)["hinted_at"] is None
    assert len(hint(store, high_water=1)) == 1


def test_a_job_in_flight_is_not_hinted(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    claimed(store)
    clock.forward(2 * LEASE)
    assert hint(store) == []


def test_a_job_past_its_limits_is_not_hinted(store: Store, clock: Clock) -> None:
    accept(store, "U1", expires_at=NOON + SECOND)
    clock.forward(SECOND)
    assert hint(store) == []
    assert hint(store, inquirers=("P1",)) == ["U1"]


def test_the_jobs_of_a_resting_partner_wait(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    accept(store, "U2", partner_id="P2")
    store.actions.pause_partner("P1", who="op", reason="maintenance")
    assert hint(store) == ["U2"]
    store.actions.resume_partner("P1", who="op", reason="done")
    assert hint(store) == ["U1"]


def test_a_job_that_was_hinted_too_early_is_hinted_again(store: Store, clock: Clock) -> None:
    """Its message came while the partner rested, and led to nothing."""
    accept(store, "U1")
    hint(store)
    store.actions.pause_partner("P1", who="op", reason="maintenance")
    assert claim(store) is None
    store.actions.resume_partner("P1", who="op", reason="done")
    clock.forward(AGAIN)
    assert hint(store) == ["U1"]


def test_a_stamp_from_the_future_is_stale(store: Store, clock: Clock) -> None:
    """A clock that was set back must not hold the conveyor full until it has caught up."""
    accept(store, *(f"U{n}" for n in range(4)))
    clock.forward(3600)
    assert len(hint(store, high_water=2)) == 2
    clock.forward(-3600)
    assert len(hint(store, high_water=2)) == 2


def test_copies_of_the_sweep_hint_no_job_twice_and_no_more_than_one_would(
    open_store: OpenStore,
) -> None:
    stores = [open_store() for _ in range(4)]
    accept(stores[0], *(f"U{n}" for n in range(60)))
    start = Barrier(4)

    def sweep(n: int) -> list[str]:
        start.wait()
        return [uid for _ in range(5) for uid in hint(stores[n], high_water=20)]

    with ThreadPoolExecutor(4) as threads:
        hinted = [uid for uids in threads.map(sweep, range(4)) for uid in uids]
    assert len(hinted) == len(set(hinted)) == 20


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_sweep_that_is_held_up_lets_no_other_overfill_the_conveyor(
    open_store: OpenStore,
) -> None:
    """The other's stamps are not committed yet, and so not to be counted."""
    held, other = open_store(), open_store()
    accept(other, *(f"U{n}" for n in range(10)))
    found: list[str] = []

    @event.listens_for(held.database.engine, "commit")
    def _interfere(_connection: object) -> None:
        found.extend(hint(other, high_water=4))

    assert len(hint(held, high_water=4) + found) == 4


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_no_plan_of_the_database_hints_more_jobs_than_there_is_room_for(
    open_store: OpenStore, clock: Clock
) -> None:
    """PostgreSQL may run a subquery once a row, and its limit then bounds nothing."""
    store = open_store(clock)
    accept(store, *(f"U{n}" for n in range(10)), expires_at=NOON + SECOND)

    @event.listens_for(store.database.engine, "begin")
    def _plan_oddly(connection: object) -> None:
        for way in (
            "hashjoin",
            "mergejoin",
            "hashagg",
            "sort",
            "material",
            "indexscan",
            "bitmapscan",
        ):
            connection.execute(text(f"SET LOCAL enable_{way} = off"))  # type: ignore[attr-defined]

    assert len(hint(store, high_water=3)) == 3
    clock.forward(SECOND)
    assert len(store.backlog.exhaust(most=2, inquirers=[])) == 2

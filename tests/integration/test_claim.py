"""A claim: the right to one conversation, given to one, and only when it is time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    BUSY,
    CANCELLED,
    LEASE,
    LOST,
    MAX_AGE,
    NOON,
    OURS,
    PAID,
    SECOND,
    Clock,
    accept,
    attempts,
    claim,
    claimed,
    only,
    row,
    settle,
)
from worker.domain.decision import Decision
from worker.domain.states import Event, Outcome, State
from worker.errors import JobNotFound
from worker.store import Cooldown, Store

GAVE_UP = Decision(Event.EXHAUST, "later", "all attempts are spent", outcome=Outcome.GAVE_UP)


def test_a_new_job_can_be_claimed_at_once(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    mine = claimed(store)
    assert (mine.number, mine.attempts, mine.kind, mine.doubted) == (1, 1, "cancel", False)
    assert (mine.started_at, mine.lease_ends_at) == (NOON, NOON + LEASE)
    assert mine.request.partner_txn_uid == "U1"
    assert (mine.request.partner_id, mine.request.token_id) == ("P1", "T-U1")
    assert mine.request.reference1 == "R1"
    assert only(row(store), "state", "lease_id", "lease_ends_at", "lease_kind") == (
        State.IN_FLIGHT,
        mine.lease_id,
        NOON + LEASE,
        "cancel",
    )
    assert only(row(store), "attempts", "conversations", "next_attempt_at") == (1, 1, None)


def test_a_job_that_nobody_accepted_cannot_be_claimed(store: Store) -> None:
    with pytest.raises(JobNotFound, match="no job is stored under nobody"):
        claim(store, "nobody")


def test_a_job_in_flight_is_not_claimed_again(store: Store, clock: Clock) -> None:
    """Not even when its lease has ended: the rescue comes first."""
    accept(store, "U1")
    claimed(store)
    assert claim(store) is None
    clock.forward(2 * LEASE)
    assert claim(store) is None


@pytest.mark.parametrize("decision", [CANCELLED, PAID, GAVE_UP])
def test_a_final_job_is_not_claimed(store: Store, clock: Clock, decision: Decision) -> None:
    accept(store, "U1")
    assert settle(store, claimed(store), decision)
    clock.forward(timedelta(hours=1))
    assert claim(store) is None
    assert len(attempts(store)) == 1


@pytest.mark.parametrize("decision", [BUSY, LOST])
def test_a_job_is_claimed_when_its_wait_is_over_and_not_before(
    store: Store, clock: Clock, decision: Decision
) -> None:
    accept(store, "U1")
    settle(store, claimed(store), decision)
    assert decision.wait is not None
    clock.forward(decision.wait - timedelta(milliseconds=1))
    assert claim(store) is None
    clock.forward(timedelta(milliseconds=1))
    assert claimed(store).number == 2


def test_a_job_past_its_expiry_is_not_claimed(store: Store, clock: Clock) -> None:
    accept(store, "U1", expires_at=NOON + SECOND)
    clock.forward(SECOND)
    assert claim(store) is None


def test_a_job_before_its_expiry_is_claimed(store: Store, clock: Clock) -> None:
    accept(store, "U1", expires_at=NOON + SECOND)
    clock.forward(0.999)
    assert claimed(store).expires_at == NOON + SECOND


def test_a_job_that_has_waited_past_its_age_still_has_its_turn(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    clock.forward(10 * MAX_AGE)
    assert claim(store)


def test_the_calls_of_a_paused_partner_do_not_start(store: Store) -> None:
    accept(store, "U1")
    accept(store, "U2", partner_id="P2")
    store.actions.pause_partner("P1", who="op", reason="maintenance")
    assert claim(store) is None
    assert claim(store, "U2")
    store.actions.resume_partner("P1", who="op", reason="done")
    assert claim(store)


def test_the_calls_of_a_cooling_partner_start_when_it_has_cooled(
    open_store: OpenStore, clock: Clock
) -> None:
    store = open_store(clock, cooldown=Cooldown(threshold=1, base=timedelta(seconds=5)))
    accept(store, "U1", "U2")
    settle(store, claimed(store), LOST)
    clock.forward(4.999)
    assert claim(store, "U2") is None
    clock.forward(0.001)
    assert claim(store, "U2")


def test_a_pause_lets_a_call_under_way_end(store: Store) -> None:
    accept(store, "U1")
    mine = claimed(store)
    store.actions.pause_partner("P1", who="op", reason="maintenance")
    assert settle(store, mine, CANCELLED)


def test_a_job_in_doubt_is_claimed_for_an_inquiry_where_one_can_be_made(
    store: Store, clock: Clock
) -> None:
    accept(store, "U1")
    settle(store, claimed(store), LOST)
    clock.forward(LEASE)
    mine = claimed(store, inquirers=("P0", "P1"))
    assert (mine.kind, mine.attempts, mine.number, mine.doubted) == ("inquiry", 1, 2, True)


def test_only_a_job_in_doubt_is_inquired_about(store: Store, clock: Clock) -> None:
    accept(store, "U1", "U2")
    assert claimed(store, inquirers=("P1",)).kind == "cancel"
    settle(store, claimed(store, "U2"), OURS)
    store.actions.resume_partner("P1", who="op", reason="done")
    clock.forward(LEASE)
    assert claimed(store, "U2", inquirers=("P1",)).kind == "cancel"


def test_a_job_in_doubt_of_another_partner_is_cancelled_again(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    settle(store, claimed(store), LOST)
    clock.forward(LEASE)
    mine = claimed(store, inquirers=("P2",))
    assert (mine.kind, mine.attempts) == ("cancel", 2)


def test_of_sixteen_threads_that_claim_a_job_one_gets_it(open_store: OpenStore) -> None:
    store = open_store()
    accept(store, "U1")
    with ThreadPoolExecutor(16) as threads:
        claims = list(threads.map(lambda _: claim(store), range(64)))
    assert sum(mine is not None for mine in claims) == 1
    assert only(row(store), "attempts", "conversations") == (1, 1)


def test_of_many_processes_that_claim_many_jobs_one_gets_each(open_store: OpenStore) -> None:
    stores = [open_store(connections=1) for _ in range(4)]
    uids = [f"U{n}" for n in range(10)]
    accept(stores[0], *uids)
    with ThreadPoolExecutor(8) as threads:
        claims = list(threads.map(lambda n: claim(stores[n % 4], uids[n % 10]), range(80)))
    got = sorted(mine.request.partner_txn_uid for mine in claims if mine)
    assert got == sorted(uids)

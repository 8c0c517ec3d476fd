"""Between attempts: claims whose worker fell silent, and jobs past their limits."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    CANCELLED,
    LEASE,
    LOST,
    MAX_AGE,
    NOON,
    SECOND,
    SILENT,
    Clock,
    accept,
    claimed,
    only,
    row,
    settle,
)
from worker.domain.partners import Roster
from worker.domain.states import Outcome, State
from worker.store import Store


def exhaust(store: Store, most: int = 100) -> dict[str, Outcome]:
    return dict(store.backlog.exhaust(most=most, inquirers=[]))


def test_a_claim_is_dead_when_its_lease_ends_and_not_before(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    mine = claimed(store)
    clock.forward(LEASE - SECOND)
    assert store.backlog.dead(most=10) == []
    clock.forward(SECOND)
    assert store.backlog.dead(most=10) == [mine]


def test_dead_claims_come_oldest_first_and_in_bounded_number(store: Store, clock: Clock) -> None:
    uids = ["U3", "U1", "U2"]
    accept(store, *uids)
    for uid in uids:
        claimed(store, uid)
        clock.forward(1)
    clock.forward(LEASE)
    dead = store.backlog.dead(most=2)
    assert [mine.request.partner_txn_uid for mine in dead] == ["U3", "U1"]


def test_a_dead_claim_can_be_settled_in_the_name_of_its_worker(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    claimed(store)
    clock.forward(LEASE)
    (dead,) = store.backlog.dead(most=10)
    assert settle(store, dead, SILENT)
    assert only(row(store), "state", "doubted") == (State.IN_DOUBT, True)
    assert store.backlog.dead(most=10) == []


def test_of_two_rescues_one_moves_the_job(open_store: OpenStore, clock: Clock) -> None:
    stores = [open_store(clock), open_store(clock)]
    accept(stores[0], "U1")
    claimed(stores[0])
    clock.forward(LEASE)
    found = [store.backlog.dead(most=10)[0] for store in stores]
    with ThreadPoolExecutor(2) as threads:
        moved = list(threads.map(lambda n: settle(stores[n], found[n], SILENT), range(2)))
    assert sorted(moved) == [False, True]


def test_a_job_past_its_tokens_expiry_has_lapsed(store: Store, clock: Clock) -> None:
    accept(store, "U1", expires_at=NOON + SECOND)
    assert exhaust(store) == {}
    clock.forward(SECOND)
    assert exhaust(store) == {"U1": Outcome.LAPSED}
    job = row(store)
    assert only(job, "state", "outcome", "finished_at", "updated_at") == (
        State.EXHAUSTED,
        Outcome.LAPSED,
        clock.now,
        clock.now,
    )
    assert only(job, "next_attempt_at", "hinted_at", "doubted") == (None, None, False)
    assert exhaust(store) == {}


def test_no_job_ends_for_having_waited(store: Store, clock: Clock) -> None:
    """Its partner may have been paused all the time: age is judged after a conversation."""
    accept(store, "U1", expires_at=NOON + 20 * MAX_AGE)
    accept(store, "U2")
    clock.forward(10 * MAX_AGE)
    assert exhaust(store) == {}


def test_a_job_past_its_expiry_waits_for_a_last_inquiry_where_one_can_be_made(
    store: Store, clock: Clock
) -> None:
    accept(store, "U1", expires_at=NOON + SECOND)
    clock.forward(SECOND)
    assert store.backlog.exhaust(most=10, inquirers=["P1"]) == []
    assert claimed(store, inquirers=("P1",)).kind == "inquiry"


def test_doubt_outlives_every_limit(store: Store, clock: Clock) -> None:
    accept(store, "U1", expires_at=NOON + MAX_AGE / 2)
    settle(store, claimed(store), LOST)
    clock.forward(MAX_AGE)
    assert exhaust(store) == {"U1": Outcome.UNKNOWN}
    assert row(store)["doubted"] is True


def test_a_job_in_flight_or_final_is_never_exhausted(store: Store, clock: Clock) -> None:
    accept(store, "U1", "U2", expires_at=NOON + SECOND)
    claimed(store)
    settle(store, claimed(store, "U2"), CANCELLED)
    clock.forward(2 * MAX_AGE)
    assert exhaust(store) == {}


def test_the_jobs_of_a_resting_partner_end_as_well(store: Store, clock: Clock) -> None:
    accept(store, "U1", expires_at=NOON + SECOND)
    store.actions.pause_partner("P1", who="op", reason="maintenance")
    clock.forward(SECOND)
    assert exhaust(store) == {"U1": Outcome.LAPSED}


def test_jobs_are_exhausted_in_batches(store: Store, clock: Clock) -> None:
    accept(store, *(f"U{n}" for n in range(5)), expires_at=NOON + SECOND)
    clock.forward(MAX_AGE)
    assert [len(exhaust(store, most=2)) for _ in range(4)] == [2, 2, 1, 0]


def test_two_sweeps_exhaust_no_job_twice(open_store: OpenStore, clock: Clock) -> None:
    stores = [open_store(clock), open_store(clock)]
    accept(stores[0], *(f"U{n}" for n in range(40)), expires_at=NOON + SECOND)
    clock.forward(MAX_AGE)
    with ThreadPoolExecutor(4) as threads:
        ended = list(threads.map(lambda n: exhaust(stores[n % 2], most=10), range(8)))
    uids = [uid for batch in ended for uid in batch]
    assert len(uids) == len(set(uids))
    while batch := exhaust(stores[0]):
        uids += batch
    assert sorted(uids) == sorted(f"U{n}" for n in range(40))


def test_a_claim_and_the_sweep_never_both_get_a_job(open_store: OpenStore, clock: Clock) -> None:
    stores = [open_store(clock), open_store(clock)]
    uids = [f"U{n}" for n in range(20)]
    accept(stores[0], *uids, expires_at=NOON + timedelta(seconds=5))
    late = Clock(NOON + timedelta(seconds=5))
    sweeper = open_store(late)
    with ThreadPoolExecutor(2) as threads:
        claims = threads.submit(lambda: [u for u in uids if _got(stores[1], u)])
        ended = [uid for _ in range(10) for uid in exhaust(sweeper, most=3)]
        got = claims.result()
    assert not set(got) & set(ended)
    for uid in uids:
        assert row(stores[0], uid)["state"] == (
            State.IN_FLIGHT if uid in got else State.EXHAUSTED if uid in ended else State.PENDING
        )


def _got(store: Store, uid: str) -> bool:
    mine = store.jobs.claim(uid, lease=LEASE, roster=Roster({}))
    return mine is not None


def test_jobs_that_wait_for_an_inquiry_hide_no_expired_job(store: Store, clock: Clock) -> None:
    """Their partner may be paused for long; what waits behind them is read by later passes."""
    accept(store, *(f"U{n:02}" for n in range(45)), expires_at=NOON + SECOND)
    accept(store, "LAST", expires_at=NOON + 2 * SECOND, partner_id="P2")
    clock.forward(MAX_AGE)
    passes = [store.backlog.exhaust(most=1, inquirers=["P1"]) for _ in range(9)]
    assert [uid for ended in passes for uid, _ in ended] == ["LAST"]
    accept(store, "AGAIN", expires_at=NOON + SECOND, partner_id="P2")
    passes = [store.backlog.exhaust(most=1, inquirers=[]) for _ in range(60)]
    assert len([uid for ended in passes for uid, _ in ended]) == 46

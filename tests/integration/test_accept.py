"""The door: the same uid is one job, whoever brings it and however often."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    CANCELLED,
    NOON,
    SECOND,
    accept,
    claimed,
    hint,
    only,
    order,
    row,
    settle,
)
from tests.servers.waiting import LIMIT
from worker.domain.states import Outcome, State
from worker.store import Acceptance, Status, Store

NEW = Acceptance(Status.ACCEPTED, State.PENDING, None)


def test_a_new_order_becomes_a_pending_job_that_is_due(store: Store) -> None:
    assert store.jobs.accept(order(expires_at=NOON + SECOND), hinted=False) == NEW
    job = row(store)
    assert only(job, "partner_id", "token_id", "reference1") == ("P1", "T-U1", "R1")
    assert only(job, "created_at", "updated_at", "next_attempt_at") == (NOON, NOON, NOON)
    assert only(job, "state", "outcome", "hinted_at", "expires_at") == (
        State.PENDING,
        None,
        None,
        NOON + SECOND,
    )
    assert only(job, "attempts", "conversations", "doubted") == (0, 0, False)


def test_the_same_order_again_is_a_duplicate_and_changes_nothing(store: Store) -> None:
    accept(store, "U1")
    before = row(store)
    assert store.jobs.accept(order(), hinted=True) == Acceptance(
        Status.DUPLICATE, State.PENDING, None
    )
    assert row(store) == before


def test_a_duplicate_says_where_its_job_stands(store: Store) -> None:
    accept(store, "U1")
    settle(store, claimed(store), CANCELLED)
    assert store.jobs.accept(order(), hinted=False) == Acceptance(
        Status.DUPLICATE, State.SUCCEEDED, Outcome.CANCELLED
    )


@pytest.mark.parametrize("name", ["partner_id", "token_id", "reference1"])
def test_the_same_uid_with_other_content_is_a_conflict_and_the_stored_job_stands(
    store: Store, name: str
) -> None:
    accept(store, "U1")
    before = row(store)
    other = store.jobs.accept(order(**{name: "other"}), hinted=True)
    assert other == Acceptance(Status.CONFLICT, State.PENDING, None)
    assert row(store) == before


def test_another_expiry_is_no_conflict(store: Store) -> None:
    """The producer may have read the token's expiry again; what was accepted first stands."""
    accept(store, "U1", expires_at=NOON + SECOND)
    again = store.jobs.accept(order(expires_at=NOON + 2 * SECOND), hinted=False)
    assert again.status is Status.DUPLICATE
    assert row(store)["expires_at"] == NOON + SECOND


def test_of_orders_that_come_at_once_one_is_accepted(open_store: OpenStore) -> None:
    stores = [open_store(connections=4) for _ in range(2)]
    start = Barrier(8)

    def bring(n: int) -> Status:
        start.wait()
        return stores[n % 2].jobs.accept(order(), hinted=False).status

    with ThreadPoolExecutor(8) as threads:
        heard = sorted(threads.map(bring, range(8)))
    assert heard == [Status.ACCEPTED] + [Status.DUPLICATE] * 7


def test_of_unlike_orders_that_come_at_once_one_stands(open_store: OpenStore) -> None:
    store = open_store()
    start = Barrier(4)

    def bring(n: int) -> Status:
        start.wait()
        return store.jobs.accept(order(token_id=f"T{n}"), hinted=False).status

    with ThreadPoolExecutor(4) as threads:
        heard = list(threads.map(bring, range(4)))
    assert sorted(heard) == [Status.ACCEPTED] + [Status.CONFLICT] * 3
    assert row(store)["token_id"] == f"T{heard.index(Status.ACCEPTED)}"


def test_an_order_joins_the_callers_transaction(store: Store) -> None:
    with store.database.engine.begin() as connection:
        assert store.jobs.accept(order(), hinted=False, connection=connection) == NEW
        again = store.jobs.accept(order(), hinted=False, connection=connection)
        assert again.status is Status.DUPLICATE
    assert row(store)["state"] == State.PENDING


def test_an_order_is_rolled_back_with_the_callers_transaction(store: Store) -> None:
    with store.database.engine.connect() as connection:
        store.jobs.accept(order(), hinted=False, connection=connection)
        connection.rollback()
    assert store.reports.file("U1") is None
    assert store.jobs.accept(order(), hinted=False) == NEW


@pytest.mark.parametrize("committed", [True, False])
def test_an_order_waits_for_the_transaction_that_brought_it_first(
    store: Store, *, committed: bool
) -> None:
    with ThreadPoolExecutor(1) as thread, store.database.engine.connect() as connection:
        store.jobs.accept(order(), hinted=False, connection=connection)
        second = thread.submit(store.jobs.accept, order(), hinted=False)
        connection.commit() if committed else connection.rollback()
        heard = second.result(timeout=LIMIT).status
    assert heard is (Status.DUPLICATE if committed else Status.ACCEPTED)


def test_an_order_that_somebody_looks_at_is_not_hinted_by_the_sweep(store: Store) -> None:
    accept(store, "U1", hinted=True)
    accept(store, "U2", hinted=False)
    assert row(store)["hinted_at"] == NOON
    assert hint(store) == ["U2"]


def test_an_order_of_another_alphabet_is_stored_as_it_came(store: Store) -> None:
    accept(store, "U1", reference1="ใบสั่ง ๗ — naïve 👍")
    assert row(store)["reference1"] == "ใบสั่ง ๗ — naïve 👍"
    again = store.jobs.accept(order(reference1="ใบสั่ง ๗ — naïve 👍"), hinted=False)
    assert again.status is Status.DUPLICATE

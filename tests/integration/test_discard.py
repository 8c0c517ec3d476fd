"""An operator ends what nobody can serve: never what a worker asks about, never doubt as none."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    BUSY,
    CANCELLED,
    LOST,
    NOON,
    PAID,
    Clock,
    accept,
    claim,
    claimed,
    hint,
    only,
    row,
    settle,
)
from worker.domain.destinations import Destination
from worker.store import JobFilter, RequeueRequest, RequeueResult, Store, Verdict


def discard(store: Store, uid: str = "U1") -> RequeueResult:
    return store.actions.discard(uid, who="ploy", reason="a mistyped partner")


def test_a_job_that_waits_ends_as_given_up_and_is_on_record(store: Store, clock: Clock) -> None:
    accept(store, "U1", partner_id="KP-TYPO")
    clock.forward(60)
    assert discard(store).verdict is Verdict.DONE
    assert only(row(store), "state", "outcome", "finished_at", "ends", "next_attempt_at") == (
        "exhausted",
        "gave_up",
        clock.now,
        1,
        None,
    )
    (record,) = store.reports.actions("U1")
    assert only(record, "action", "who", "reason") == ("discard", "ploy", "a mistyped partner")
    assert only(record["before"], "state", "outcome") == ("pending", None)
    assert only(record["after"], "state", "outcome") == ("exhausted", "gave_up")
    assert hint(store) == []
    assert claim(store) is None


def test_the_order_system_is_told_as_of_every_end(store: Store, open_store: OpenStore) -> None:
    told = Store(open_store().database, destinations=[Destination.WEBHOOK, Destination.MESSAGE])
    accept(told, "U1")
    discard(told)
    events = told.outbox.events(uid="U1")
    assert sorted(each["destination"] for each in events) == ["message", "webhook"]
    assert all('"outcome":"gave_up"' in each["body"] for each in events)


@pytest.mark.parametrize("retries", [False, True])
def test_doubt_is_never_given_up(store: Store, clock: Clock, *, retries: bool) -> None:
    """Also where the job has left doubt since: its token may be cancelled."""
    accept(store, "U1")
    settle(store, claimed(store), LOST)
    clock.forward(60)
    if retries:
        settle(store, claimed(store), BUSY)
    assert row(store)["state"] == ("retryable" if retries else "in_doubt")
    assert discard(store).verdict is Verdict.DONE
    assert only(row(store), "state", "outcome") == ("exhausted", "unknown")


def test_what_was_given_up_is_seen_and_what_is_unknown_is_not(store: Store) -> None:
    accept(store, "U1", "U2")
    settle(store, claimed(store), LOST)
    discard(store, "U1")
    discard(store, "U2")
    assert [*store.unseen.read().ends] == ["unknown"]


def test_past_its_expiry_a_job_ends_as_lapsed(store: Store, clock: Clock) -> None:
    accept(store, "U1", expires_at=NOON + timedelta(minutes=5))
    clock.forward(600)
    discard(store)
    assert row(store)["outcome"] == "lapsed"


def test_a_call_under_way_is_left_alone(store: Store) -> None:
    accept(store, "U1")
    mine = claimed(store)
    before = row(store)
    assert discard(store).verdict is Verdict.IN_FLIGHT
    assert row(store) == before
    assert settle(store, mine, CANCELLED)


@pytest.mark.parametrize("decision", [CANCELLED, PAID], ids=lambda each: each.heard)
def test_a_final_job_keeps_its_end(store: Store, decision: Any) -> None:
    accept(store, "U1")
    settle(store, claimed(store), decision)
    before = row(store)
    assert discard(store).verdict is Verdict.FINAL
    assert row(store) == before
    assert store.reports.actions() == []


def test_a_job_that_nobody_stored_is_not_found(store: Store) -> None:
    assert discard(store).verdict is Verdict.NOT_FOUND


def test_of_two_operators_at_once_one_discards(store: Store, open_store: OpenStore) -> None:
    accept(store, "U1")
    stores = [open_store() for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        results = sorted(each.verdict for each in threads.map(discard, stores))
    assert results == [Verdict.DONE, Verdict.FINAL]
    assert row(store)["ends"] == 1


def test_a_filter_finds_what_is_not_final_with_the_outcome_it_would_have(store: Store) -> None:
    accept(store, "U1", "U2", "U3", "U4", "U5", partner_id="KP-TYPO")
    accept(store, "U6")
    settle(store, claimed(store, "U1"), LOST)
    settle(store, claimed(store, "U2"), CANCELLED)
    claimed(store, "U3")
    pages = list(store.reports.unfinished(JobFilter(partner_id="KP-TYPO"), batch=2))
    assert [[only(each, "partner_txn_uid", "outcome") for each in page] for page in pages] == [
        [("U1", "unknown"), ("U3", "gave_up")],
        [("U4", "gave_up"), ("U5", "gave_up")],
    ]


def test_a_discarded_job_can_be_requeued(store: Store) -> None:
    accept(store, "U1")
    discard(store)
    wish = RequeueRequest("U1", ())
    assert store.actions.requeue(wish, who="ploy", reason="after all").verdict is Verdict.DONE
    assert claim(store) is not None

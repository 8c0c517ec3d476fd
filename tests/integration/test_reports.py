"""What operators read: a job with its evidence, lists, counts, and the one age that matters."""

from datetime import timedelta

import pytest

from tests.integration.stock import (
    ANSWERED,
    BUSY,
    CANCELLED,
    LOST,
    NOON,
    OURS,
    PAID,
    SECOND,
    Clock,
    accept,
    claimed,
    settle,
)
from worker.domain.states import Outcome, State
from worker.store import JobFilter, Store


@pytest.fixture
def six(store: Store, clock: Clock) -> list[str]:
    """Six jobs, each in another state, changed one second after the other."""
    uids = ["pending", "in_flight", "retryable", "in_doubt", "succeeded", "refused"]
    accept(store, *uids)
    for uid, decision in zip(uids[2:], (BUSY, LOST, CANCELLED, PAID), strict=True):
        clock.forward(1)
        settle(store, claimed(store, uid), decision, ANSWERED)
    clock.forward(1)
    claimed(store, "in_flight")
    return uids


def test_jobs_are_counted_by_state_and_outcome(store: Store, six: list[str]) -> None:
    stats = store.reports.stats()
    assert stats.states == dict.fromkeys(map(str, six), 1) | {"exhausted": 0}
    assert stats.outcomes == dict.fromkeys(map(str, Outcome), 0) | {"cancelled": 1, "paid": 1}
    assert stats.attempts == 5


def test_an_empty_table_counts_to_nothing(store: Store) -> None:
    stats = store.reports.stats()
    assert set(stats.states) == set(map(str, State))
    assert (sum(stats.states.values()), stats.due, stats.attempts) == (0, 0, 0)
    assert stats.oldest_due is None


def test_the_age_of_the_oldest_due_job_sees_every_standstill(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    clock.forward(90)
    accept(store, "U2")
    settle(store, claimed(store, "U2"), BUSY)
    stats = store.reports.stats()
    assert (stats.due, stats.oldest_due) == (1, timedelta(seconds=90))
    clock.forward(10)
    assert store.reports.stats().due == 2


def test_a_clock_that_was_set_back_makes_no_negative_age(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    clock.forward(-60)
    stats = store.reports.stats()
    assert (stats.due, stats.oldest_due) == (0, None)


def test_jobs_are_listed_the_last_changed_first(store: Store, six: list[str]) -> None:
    listed = [job["partner_txn_uid"] for job in store.reports.jobs()]
    assert listed == ["in_flight", "refused", "succeeded", "in_doubt", "retryable", "pending"]
    assert [job["partner_txn_uid"] for job in store.reports.jobs(most=2)] == listed[:2]


def test_jobs_are_listed_by_any_filter(store: Store, clock: Clock, six: list[str]) -> None:
    accept(store, "other", partner_id="P2")

    def listed(**filters: object) -> list[str]:
        wanted = JobFilter(**filters)  # type: ignore[arg-type]
        return [job["partner_txn_uid"] for job in store.reports.jobs(wanted)]

    assert listed(state=State.IN_DOUBT) == ["in_doubt"]
    assert listed(outcome=Outcome.PAID) == ["refused"]
    assert listed(partner_id="P2") == ["other"]
    assert listed(state=State.PENDING, partner_id="P1") == ["pending"]
    assert set(listed(changed_since=NOON + 4 * SECOND)) == {"other", "in_flight", "refused"}
    assert listed(state=State.EXHAUSTED) == []


def test_a_job_that_is_not_there_has_no_file(store: Store) -> None:
    assert store.reports.file("nobody") is None
    assert not store.jobs.exists("nobody")


def test_the_file_of_a_job_holds_all_its_conversations_in_order(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    for decision in (LOST, OURS, BUSY, CANCELLED):
        settle(store, claimed(store), decision, ANSWERED)
        store.actions.resume_partner("P1", who="op", reason="go on")
        clock.forward(60)
    file = store.reports.file("U1")
    assert file is not None
    assert [each["number"] for each in file.attempts] == [1, 2, 3, 4]
    assert [each["decision"] for each in file.attempts] == ["doubt", "retry", "retry", "succeed"]
    assert [each["number"] for each in file.tokens] == [1, 2, 3, 4]
    assert store.jobs.exists("U1")

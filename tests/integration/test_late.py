"""Answers that come after the lease was lost: kept as evidence, believed only in doubt."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.stock import (
    ANSWERED,
    BUSY,
    CANCELLED,
    LEASE,
    LOST,
    OURS,
    PAID,
    SILENT,
    UNHEARD,
    Clock,
    accept,
    attempts,
    claimed,
    execute,
    only,
    row,
    settle,
)
from worker.domain.decision import Decision
from worker.domain.states import Event, Outcome, State
from worker.store import Claim, Store

UNKNOWN = Decision(Event.EXHAUST, "lease_ended", "too old", outcome=Outcome.UNKNOWN)
REFUSED = Decision(Event.REFUSE, "refused", "no", outcome=Outcome.REFUSED)


def rescued(store: Store, clock: Clock, decision: Decision = SILENT) -> Claim:
    """Claim a job, fall silent, and lose it to the rescue."""
    accept(store, "U1")
    lost = claimed(store)
    clock.forward(LEASE)
    assert settle(store, lost, decision)
    clock.forward(1)
    return lost


@pytest.mark.parametrize("decision", [CANCELLED, PAID], ids=lambda d: d.heard)
def test_a_late_answer_ends_a_job_in_doubt(store: Store, clock: Clock, decision: Decision) -> None:
    lost = rescued(store, clock)
    assert store.jobs.settle_late(lost, decision, ANSWERED)
    job = row(store)
    assert only(job, "outcome", "token_status", "status_code") == (
        decision.outcome,
        decision.token_status,
        "00",
    )
    assert only(job, "finished_at", "next_attempt_at") == (clock.now, None)
    assert only(job, "attempts", "conversations", "doubted") == (1, 1, True)


@pytest.mark.parametrize("decision", [BUSY, LOST, OURS, UNKNOWN], ids=lambda d: d.heard)
def test_a_late_answer_that_decides_nothing_is_evidence_only(
    store: Store, clock: Clock, decision: Decision
) -> None:
    lost = rescued(store, clock)
    before = row(store)
    assert not store.jobs.settle_late(lost, decision, ANSWERED)
    assert row(store) == before
    assert attempts(store)[0]["heard"] == decision.heard
    assert store.partners.all() == []


def test_a_late_answer_takes_the_place_of_the_row_that_the_rescue_left(
    store: Store, clock: Clock
) -> None:
    lost = rescued(store, clock)
    assert only(attempts(store)[0], "heard", "http_status") == ("lease_ended", None)
    late = replace(ANSWERED, duration=timedelta(seconds=61))
    store.jobs.settle_late(lost, CANCELLED, late)
    (attempt,) = attempts(store)
    assert only(attempt, "number", "heard", "decision", "http_status", "duration_ms") == (
        1,
        "cancelled",
        "succeed",
        200,
        61_000,
    )
    assert only(attempt, "started_at", "finished_at") == (lost.started_at, clock.now)
    file = store.reports.file("U1")
    assert file is not None
    assert [only(token, "number", "status") for token in file.tokens] == [(1, "CANCELLED")]


def test_a_late_answer_does_not_give_an_attempt_back(store: Store, clock: Clock) -> None:
    """The rescue has spent it; the row and the count stay of one mind."""
    lost = rescued(store, clock)
    store.jobs.settle_late(lost, OURS, UNHEARD)
    assert row(store)["attempts"] == 1
    assert attempts(store)[0]["spent"] is True


def test_a_late_answer_leaves_the_next_conversation_alone(store: Store, clock: Clock) -> None:
    lost = rescued(store, clock)
    clock.forward(LEASE)
    mine = claimed(store)
    before = row(store)
    assert not store.jobs.settle_late(lost, CANCELLED, ANSWERED)
    assert row(store) == before
    assert attempts(store)[0]["heard"] == "cancelled"
    assert settle(store, mine, PAID)
    assert [only(each, "number", "heard") for each in attempts(store)] == [
        (1, "cancelled"),
        (2, "paid"),
    ]


@pytest.mark.parametrize("end", [CANCELLED, PAID, REFUSED, UNKNOWN], ids=lambda d: d.outcome)
def test_a_late_answer_never_touches_a_final_job(store: Store, clock: Clock, end: Decision) -> None:
    lost = rescued(store, clock)
    clock.forward(LEASE)
    settle(store, claimed(store), end)
    before = row(store)
    for late in (CANCELLED, PAID):
        assert not store.jobs.settle_late(lost, late, ANSWERED)
    assert row(store) == before


def test_a_late_answer_never_touches_a_job_that_the_rescue_ended(
    store: Store, clock: Clock
) -> None:
    lost = rescued(store, clock, UNKNOWN)
    before = row(store)
    assert not store.jobs.settle_late(lost, CANCELLED, ANSWERED)
    assert row(store) == before
    assert attempts(store)[0]["heard"] == "cancelled"


def test_a_late_answer_leaves_a_job_that_waits_for_another_reason(
    store: Store, clock: Clock
) -> None:
    lost = rescued(store, clock)
    clock.forward(LEASE)
    settle(store, claimed(store), BUSY)
    assert not store.jobs.settle_late(lost, CANCELLED, ANSWERED)
    assert row(store)["state"] == State.RETRYABLE


def test_a_late_answer_may_end_a_job_that_is_in_doubt_again(store: Store, clock: Clock) -> None:
    lost = rescued(store, clock)
    clock.forward(LEASE)
    settle(store, claimed(store), LOST)
    assert store.jobs.settle_late(lost, CANCELLED, ANSWERED)
    assert only(row(store), "attempts", "conversations") == (2, 2)


def test_a_late_answer_replaces_no_evidence_but_the_rescues(store: Store, clock: Clock) -> None:
    """A commit whose acknowledgement was lost looks like a lost lease to its worker."""
    accept(store, "U1")
    mine = claimed(store)
    settle(store, mine, CANCELLED, ANSWERED)
    before = store.reports.file("U1")
    clock.forward(1)
    late = replace(CANCELLED, reason="heard after the lease had ended")
    assert not store.jobs.settle_late(mine, late, UNHEARD)
    assert store.reports.file("U1") == before


def test_a_late_answer_to_a_deleted_job_is_dropped(store: Store, clock: Clock) -> None:
    lost = rescued(store, clock)
    execute(store, "DELETE FROM cancel_jobs")
    assert not store.jobs.settle_late(lost, CANCELLED, ANSWERED)
    assert store.reports.file("U1") is None

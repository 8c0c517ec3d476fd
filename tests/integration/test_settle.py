"""The end of a claim: one transaction for the state, the evidence and the partner."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    ANSWERED,
    BUSY,
    CANCELLED,
    DOWN,
    LEASE,
    LOST,
    NOON,
    OURS,
    PAID,
    SILENT,
    Clock,
    accept,
    answer,
    attempts,
    claimed,
    evidence,
    only,
    order,
    row,
    settle,
)
from worker.domain.answer import Answer
from worker.domain.decision import Decision
from worker.domain.kplus import Envelope, TokenEntry
from worker.domain.states import Event, Outcome, State
from worker.store import Evidence, Store

UNKNOWN = Decision(
    Event.EXHAUST, "read_timeout", "silence; the job's longest age", outcome=Outcome.UNKNOWN
)
LAPSED = replace(UNKNOWN, heard="later", outcome=Outcome.LAPSED)
ENDS = [CANCELLED, PAID, UNKNOWN, LAPSED]
WAITS = [BUSY, LOST, OURS, DOWN]


@pytest.mark.parametrize("decision", ENDS, ids=lambda decision: decision.outcome)
def test_an_end_is_written_whole(store: Store, clock: Clock, decision: Decision) -> None:
    accept(store, "U1")
    mine = claimed(store)
    clock.forward(1.5)
    assert settle(store, mine, decision, ANSWERED)
    job = row(store)
    state = {
        Event.SUCCEED: State.SUCCEEDED,
        Event.REFUSE: State.REFUSED,
        Event.EXHAUST: State.EXHAUSTED,
    }
    assert only(job, "state", "outcome") == (state[decision.event], decision.outcome)
    assert only(job, "finished_at", "updated_at") == (clock.now, clock.now)
    assert only(job, "lease_id", "lease_ends_at", "lease_kind") == (None, None, None)
    assert only(job, "next_attempt_at", "hinted_at") == (None, None)
    assert only(job, "token_status", "status_code", "error_code", "error_desc") == (
        decision.token_status,
        "00",
        None,
        None,
    )


@pytest.mark.parametrize("decision", WAITS, ids=lambda decision: decision.heard)
def test_another_try_is_written_whole(store: Store, clock: Clock, decision: Decision) -> None:
    accept(store, "U1")
    mine = claimed(store)
    clock.forward(1.5)
    assert settle(store, mine, decision)
    job = row(store)
    doubt = decision.event is Event.DOUBT
    assert only(job, "state", "outcome", "doubted") == (
        State.IN_DOUBT if doubt else State.RETRYABLE,
        None,
        doubt,
    )
    assert decision.wait is not None
    assert job["next_attempt_at"] == clock.now + decision.wait
    assert only(job, "finished_at", "lease_id", "lease_ends_at", "hinted_at") == (None,) * 4


def test_a_bank_error_is_kept_in_the_banks_words(store: Store) -> None:
    accept(store, "U1")
    heard = Answer(
        500, Envelope(status_code="10", error_code="general_error", error_desc="ลองใหม่ (EMG)")
    )
    settle(store, claimed(store), BUSY, evidence(heard))
    codes = ("10", "general_error", "ลองใหม่ (EMG)")
    assert only(row(store), "status_code", "error_code", "error_desc") == codes
    (attempt,) = attempts(store)
    assert only(attempt, "status_code", "error_code", "error_desc") == codes
    assert only(attempt, "http_status", "heard", "decision") == (500, "later", "retry")


def test_each_conversation_leaves_one_row(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    mine = claimed(store)
    clock.forward(1.5)
    settle(store, mine, LOST, Evidence("W-1", timedelta(seconds=1.2345)))
    clock.forward(2)
    settle(store, claimed(store), CANCELLED, ANSWERED)
    first, second = attempts(store)
    assert first == {
        "partner_txn_uid": "U1",
        "number": 1,
        "kind": "cancel",
        "wire_uid": "W-1",
        "started_at": NOON,
        "finished_at": NOON + timedelta(seconds=1.5),
        "duration_ms": 1234,
        "http_status": None,
        "status_code": None,
        "error_code": None,
        "error_desc": None,
        "heard": "read_timeout",
        "decision": "doubt",
        "spent": True,
        "detail": "the bank said nothing",
        "short_code": None,
        "folded": 0,
        "folded_minutes": None,
    }
    assert only(second, "number", "heard", "decision", "http_status") == (
        2,
        "cancelled",
        "succeed",
        200,
    )


def test_what_the_bank_said_of_the_token_outlives_a_later_silence(
    store: Store, clock: Clock
) -> None:
    accept(store, "U1")
    settle(store, claimed(store), replace(LOST, token_status="VOIDED"))
    clock.forward(LEASE)
    settle(store, claimed(store), LOST)
    assert row(store)["token_status"] == "VOIDED"


def test_every_entry_of_the_token_list_is_kept(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    entries = (
        TokenEntry("T-U1", "another reference", ("CANCELLED",)),
        TokenEntry("T-2", None, ("PAID", "VOIDED")),
        TokenEntry(None, None, None),
        TokenEntry("T-3", "R3", ()),
    )
    clock.forward(1)
    settle(store, claimed(store), CANCELLED, evidence(answer(*entries)))
    file = store.reports.file("U1")
    assert file is not None
    assert [
        only(t, "number", "position", "token_id", "reference1", "status") for t in file.tokens
    ] == [
        (1, 0, "T-U1", "another reference", "CANCELLED"),
        (1, 1, "T-2", None, "PAID,VOIDED"),
        (1, 2, None, None, None),
        (1, 3, "T-3", "R3", ""),
    ]
    assert {t["observed_at"] for t in file.tokens} == {clock.now}


def test_the_entries_of_two_conversations_are_kept_apart(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    entry = TokenEntry("T-U1", "R1", ("VOIDED",))
    settle(store, claimed(store), LOST, evidence(answer(entry)))
    clock.forward(LEASE)
    settle(store, claimed(store), CANCELLED, ANSWERED)
    file = store.reports.file("U1")
    assert file is not None
    assert [only(t, "number", "status") for t in file.tokens] == [(1, "VOIDED"), (2, "CANCELLED")]


@pytest.mark.parametrize("decision", ENDS + WAITS, ids=lambda decision: decision.heard)
def test_a_claim_cannot_be_settled_twice(store: Store, clock: Clock, decision: Decision) -> None:
    accept(store, "U1")
    mine = claimed(store)
    assert settle(store, mine, decision)
    before = store.reports.file("U1"), store.partners.all()
    clock.forward(1)
    for second in ENDS + WAITS:
        assert not settle(store, mine, second, ANSWERED)
    assert (store.reports.file("U1"), store.partners.all()) == before


@pytest.mark.parametrize("decision", ENDS + WAITS, ids=lambda decision: decision.heard)
def test_a_lost_lease_settles_nothing(store: Store, clock: Clock, decision: Decision) -> None:
    """The rescue was faster, and another worker holds the job by now."""
    accept(store, "U1")
    lost = claimed(store)
    clock.forward(LEASE)
    assert settle(store, lost, SILENT)
    clock.forward(LEASE)
    claimed(store)
    before = store.reports.file("U1"), store.partners.all()
    assert not settle(store, lost, decision, ANSWERED)
    assert (store.reports.file("U1"), store.partners.all()) == before


def test_a_worker_may_settle_after_its_lease_if_nobody_took_the_job(
    store: Store, clock: Clock
) -> None:
    accept(store, "U1")
    mine = claimed(store)
    clock.forward(10 * LEASE)
    assert settle(store, mine, CANCELLED)


def test_an_unspent_attempt_is_given_back(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    mine = claimed(store)
    settle(store, mine, OURS)
    assert only(row(store), "attempts", "conversations") == (0, 1)
    assert attempts(store)[0]["spent"] is False
    store.actions.resume_partner("P1", who="op", reason="new key")
    clock.forward(LEASE)
    again = claimed(store)
    assert (again.attempts, again.number) == (1, 2)


@pytest.mark.parametrize("decision", [CANCELLED, LOST, OURS], ids=lambda d: d.heard)
def test_an_inquiry_is_no_attempt(store: Store, clock: Clock, decision: Decision) -> None:
    accept(store, "U1")
    settle(store, claimed(store), LOST)
    clock.forward(LEASE)
    settle(store, claimed(store, inquirers=("P1",)), decision)
    assert only(row(store), "attempts", "conversations") == (1, 2)
    assert [only(each, "kind", "spent") for each in attempts(store)] == [
        ("cancel", True),
        ("inquiry", False),
    ]


def test_doubt_is_remembered_over_later_answers(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    settle(store, claimed(store), LOST)
    clock.forward(LEASE)
    settle(store, claimed(store), BUSY)
    assert only(row(store), "state", "doubted") == (State.RETRYABLE, True)
    clock.forward(LEASE)
    assert claimed(store).doubted


def test_doubt_that_ends_the_job_at_once_is_remembered_too(store: Store) -> None:
    """Otherwise the job, requeued by an operator, would believe a refusal it must not."""
    accept(store, "U1", "U2")
    settle(store, claimed(store), UNKNOWN)
    assert row(store)["doubted"] is True
    settle(store, claimed(store, "U2"), LAPSED)
    assert row(store, "U2")["doubted"] is False


def test_a_status_of_any_length_can_be_stored(store: Store) -> None:
    """PostgreSQL refuses what is too long for its column, SQLite does not mind."""
    accept(store, "U1")
    words = tuple(f"{n:0>200}" for n in range(100))
    entry = TokenEntry("T-U1", "R1", words)
    decision = replace(LOST, token_status=",".join(words))
    assert settle(store, claimed(store), decision, evidence(answer(entry)))
    assert row(store)["token_status"] == ",".join(words)[:200]
    file = store.reports.file("U1")
    assert file is not None
    assert file.tokens[0]["status"] == entry.joined_status()


@pytest.mark.parametrize("text", ["a\0b", "half a pair: \ud83d"])
def test_no_word_of_a_library_keeps_an_outcome_from_being_stored(store: Store, text: str) -> None:
    accept(store, "U1")
    odd = replace(LOST, reason=text, heard="x" * 80)
    assert settle(store, claimed(store), odd)
    assert attempts(store)[0]["detail"] in {"a\ufffdb", "half a pair: ?"}


def test_two_jobs_never_touch_each_other(open_store: OpenStore, clock: Clock) -> None:
    store = open_store(clock)
    accept(store, "U1", "U2")
    mine = claimed(store)
    before = row(store, "U2")
    settle(store, mine, CANCELLED)
    assert row(store, "U2") == before
    assert store.jobs.accept(order("U2"), hinted=False).state is State.PENDING

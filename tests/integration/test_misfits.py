"""Rows that no worker could handle: refused; and where they are there all the same, survived."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DatabaseError

from tests.integration.attempting import POLICY
from tests.integration.stock import (
    ANSWERED,
    BUSY,
    CANCELLED,
    LEASE,
    NOON,
    SECOND,
    Clock,
    accept,
    attempts,
    claimed,
    execute,
    hint,
    only,
    row,
    settle,
)
from tests.servers.workers import PARTNER_ID
from worker.domain.bounds import LARGEST_COUNT, LARGEST_INTEGER, LONGEST_WAIT
from worker.domain.partners import Roster
from worker.domain.states import Outcome, State
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext, Result
from worker.jobs.sweep import SweepContext, SweepResult, rescue, sweep
from worker.store import EVERY_JOB, RequeueRequest, Store, Verdict
from worker.store.operators.retention import MIN_AGE
from worker.store.reports.exports import Cursor

pytestmark = pytest.mark.usefixtures("plain_logs")
GOOD = [f"GOOD-{number}" for number in range(20)]
NEVER = ("infinity", "20000-01-01", "-infinity", "0044-03-15 BC")
JOB_TIMES = (
    "created_at",
    "updated_at",
    "next_attempt_at",
    "expires_at",
    "hinted_at",
    "requeued_at",
    "still_payable_at",
)


def sweeping(store: Store, hinted: list[str] | None = None) -> SweepContext:
    told = [] if hinted is None else hinted
    return SweepContext(
        store=store,
        policy=POLICY,
        high_water=100,
        hint=told.extend,
        random=lambda: 0.5,
        roster=lambda: Roster({}),
    )


def insert(store: Store, uid: str = "BAD", **fields: Any) -> None:
    """Insert a row as a producer may, by plain SQL."""
    usual = {"partner_id": "P1", "token_id": "T-1", "reference1": "R"}
    given = {**usual, "next_attempt_at": "2026-03-01 12:00:00", **fields}
    columns = ", ".join(["partner_txn_uid", *given])
    values = ", ".join([":uid", *(f":{name}" for name in given)])
    sql = f"INSERT INTO cancel_jobs ({columns}) VALUES ({values})"  # noqa: S608 - names of ours
    execute(store, sql, uid=uid, **given)


@pytest.mark.parametrize("name", JOB_TIMES)
def test_a_time_that_does_not_exist_is_refused(store: Store, name: str) -> None:
    for never in (*NEVER, "soon", "2026-02-30 00:00:00", ""):
        with pytest.raises(DatabaseError):
            insert(store, **{name: never})


@pytest.mark.parametrize("at", ["9999-12-31 23:59:59", "0001-01-01 00:00:00.000001"])
def test_every_time_that_python_can_hold_is_taken_and_read(store: Store, at: str) -> None:
    insert(store, expires_at=at if store.database.is_sqlite else f"{at}+00")
    assert str(row(store, "BAD")["expires_at"]).startswith(at)
    assert store.reports.jobs()


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("at", ["2026-03-01T12:00:00", "2026-03-01 12:00:00+07:00", 5, b"2026"])
def test_sqlite_takes_a_time_in_the_one_form_that_it_can_compare(store: Store, at: object) -> None:
    with pytest.raises(DatabaseError, match="ck_cancel_jobs_times_exist"):
        insert(store, expires_at=at)


@pytest.mark.parametrize("name", ["attempts", "conversations", "ends"])
@pytest.mark.parametrize("count", [-1, LARGEST_COUNT + 1, LARGEST_INTEGER])
def test_a_count_without_room_for_more_is_refused(store: Store, name: str, count: int) -> None:
    given: dict[str, Any] = {"conversations": LARGEST_COUNT, name: count}
    with pytest.raises(DatabaseError, match=r"counts_have_room|attempts_counted"):
        insert(store, **given)


UNFIT = [
    ("partner_txn_uid", "ORDER 1"),
    ("partner_txn_uid", "ORDER\n1"),
    ("partner_txn_uid", "ORDER-\x7f"),
    ("partner_txn_uid", "ใบสั่ง"),
    ("partner_txn_uid", ""),
    ("partner_id", "P 1"),
    ("token_id", "T\t1"),
    ("token_id", ""),
    ("reference1", "R\n1"),
    ("reference1", "  "),
    ("reference1", ""),
]


@pytest.mark.parametrize(("name", "value"), UNFIT)
def test_a_text_that_no_request_can_carry_is_refused(store: Store, name: str, value: str) -> None:
    fields = {name: value}
    with pytest.raises(DatabaseError, match="open_can_be_sent"):
        insert(store, fields.pop("partner_txn_uid", "BAD"), **fields)


@pytest.mark.parametrize(
    ("name", "longest"), [("partner_txn_uid", 64), ("partner_id", 64), ("token_id", 128)]
)
def test_a_text_that_is_too_long_is_refused(store: Store, name: str, longest: int) -> None:
    for length in (longest, longest + 1):
        fields: dict[str, Any] = {name: "x" * length}
        uid = fields.pop("partner_txn_uid", f"U{length}")
        if length == longest:
            insert(store, uid, **fields)
            continue
        with pytest.raises(DatabaseError):
            insert(store, uid, **fields)


def test_rejected_messages_are_held_to_the_same_rules(store: Store) -> None:
    sql = (
        "INSERT INTO rejected_messages (digest, reason, detail, body, deliveries, first_at,"
        " last_at) VALUES ('d', 'r', 'd', 'b', :deliveries, :at, :at)"
    )
    for wrong in ({"deliveries": LARGEST_INTEGER}, {"at": "infinity"}):
        given = {"deliveries": 1, "at": "2026-03-01 12:00:00", **wrong}
        with pytest.raises(DatabaseError):
            execute(store, sql, **given)


# What follows is a database that was restored without its rules.


def test_one_time_that_does_not_exist_ends_no_batch(lawless: Store, clock: Clock) -> None:
    """Not the sweep's, and nothing that only reads; and its own job goes on."""
    bad = {f"{name}-{at}".replace(" ", "-"): {name: at} for name in JOB_TIMES for at in NEVER}
    for uid, fields in bad.items():
        insert(lawless, uid, **fields)
    accept(lawless, *GOOD)
    hinted: list[str] = []
    clock.forward(1)
    assert sweep(sweeping(lawless, hinted)).exhausted == 0
    assert set(hinted) == {*GOOD, *bad}
    read_everything(lawless)
    for uid in bad:
        assert claimed(lawless, uid).expires_at is None
    clock.forward(LEASE + SECOND)
    assert rescue(sweeping(lawless)) == len(bad)
    assert {row(lawless, uid)["state"] for uid in bad} == {State.IN_DOUBT}


def read_everything(store: Store) -> None:
    assert len(store.reports.jobs(most=100)) >= len(GOOD)
    store.reports.stats()
    for row_ in store.reports.jobs():
        store.reports.file(row_["partner_txn_uid"])
    list(store.exports.since(Cursor()))
    list(store.reports.finals(EVERY_JOB))
    list(store.bulk.accepted(since=NOON - MIN_AGE, until=NOON + MIN_AGE))
    list(store.conversations.all())
    store.bulk.find([*GOOD, "BAD"])
    store.unknown_words.codes()
    store.rejected_messages.latest(most=10)
    store.outbox.events()
    for outcome in Outcome:
        store.retention.jobs(outcome, older_than=MIN_AGE)


def test_a_lease_that_ends_at_no_time_is_rescued_with_the_others(
    lawless: Store, clock: Clock
) -> None:
    bad = {f"U-{at}".replace(" ", "-"): at for at in NEVER}
    accept(lawless, *bad, *GOOD[:3])
    for uid in (*bad, *GOOD[:3]):
        claimed(lawless, uid)
    ends = "UPDATE cancel_jobs SET lease_ends_at = :at WHERE partner_txn_uid = :uid"
    for uid, at in bad.items():
        execute(lawless, ends, at=at, uid=uid)
    clock.forward(LEASE + SECOND)
    sweep(sweeping(lawless))
    assert {row(lawless, uid)["state"] for uid in (*bad, *GOOD[:3])} == {State.IN_DOUBT}


def test_a_claim_whose_row_cannot_be_written_ends_unknown_and_the_others_go_on(
    lawless: Store, clock: Clock
) -> None:
    """Its conversation has an attempt row already: nobody can write another one."""
    accept(lawless, "U1", "U2")
    claimed(lawless, "U1")
    clock.forward(1)
    claimed(lawless, "U2")
    execute(
        lawless,
        "INSERT INTO cancel_attempts (partner_txn_uid, number, kind, wire_uid, started_at,"
        " finished_at, heard, decision, spent, detail) VALUES ('U1', 1, 'cancel', 'U1',"
        " '2026-03-01 12:00:00', '2026-03-01 12:00:00', 'x', 'retry', true, 'x')",
    )
    clock.forward(LEASE + SECOND)
    assert rescue(sweeping(lawless)) == 2
    assert only(row(lawless, "U1"), "state", "outcome", "doubted") == ("exhausted", "unknown", True)
    assert row(lawless, "U2")["state"] == State.IN_DOUBT
    (record,) = lawless.reports.actions("U1")
    assert (record["action"], record["who"]) == ("end", "sweep")
    assert "cannot be written" in record["reason"]


@pytest.mark.parametrize("duration", [timedelta(days=25), timedelta.max, timedelta(days=-1)])
def test_a_call_of_any_length_leaves_its_evidence(store: Store, duration: timedelta) -> None:
    """A process that was stopped for weeks measures it: the answer that it heard must not go."""
    accept(store, "U1")
    heard = replace(ANSWERED, duration=duration)
    assert settle(store, claimed(store, "U1"), CANCELLED, heard)
    (kept,) = attempts(store, "U1")
    assert kept["duration_ms"] == (LARGEST_INTEGER if duration > timedelta(0) else 0)


def test_a_wait_of_any_length_ends_in_a_year_that_can_be_stored(store: Store) -> None:
    accept(store, "U1")
    assert settle(store, claimed(store, "U1"), replace(BUSY, wait=timedelta.max))
    assert row(store, "U1")["next_attempt_at"] == NOON + LONGEST_WAIT


@pytest.mark.parametrize("count", [LARGEST_COUNT, LARGEST_INTEGER])
def test_a_count_at_its_limit_ends_no_batch(lawless: Store, clock: Clock, count: int) -> None:
    insert(
        lawless, attempts=count, conversations=count, ends=count, expires_at="2026-03-01 11:00:00"
    )
    insert(lawless, "U2", attempts=count, conversations=count, ends=count)
    assert sweep(sweeping(lawless)) == SweepResult(rescued=0, exhausted=1, hinted=1)
    assert only(row(lawless, "BAD"), "outcome", "ends") == ("lapsed", count)
    assert claimed(lawless, "U2").number == count
    clock.forward(LEASE + SECOND)
    assert rescue(sweeping(lawless)) == 1


@pytest.mark.parametrize("outcome", [Outcome.GAVE_UP, Outcome.UNKNOWN])
@pytest.mark.parametrize(("name", "value"), UNFIT)
def test_a_job_that_no_request_can_carry_ends_by_itself(
    lawless: Store, context: AttemptContext, name: str, value: str, outcome: Outcome
) -> None:
    context = replace(context, store=lawless)
    doubted = outcome is Outcome.UNKNOWN
    fields: dict[str, Any] = {"partner_id": PARTNER_ID, "doubted": doubted, name: value}
    uid = fields.pop("partner_txn_uid", "U1")
    insert(lawless, uid, **fields)
    assert hint(lawless) == [uid]
    assert attempt(uid, context) is Result.SETTLED
    assert only(row(lawless, uid), "state", "outcome", "attempts") == ("exhausted", outcome, 0)
    (kept,) = attempts(lawless, uid)
    assert only(kept, "heard", "spent", "http_status") == ("unsendable", False, None)
    assert lawless.partners.all() == [] or lawless.partners.all()[0].probe_id is None
    request = RequeueRequest(uid, [])
    assert lawless.actions.requeue(request, who="o", reason="r").verdict is Verdict.UNSENDABLE


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ["reference1", "token_id", "error_desc"])
def test_a_text_that_is_no_utf_8_ends_no_batch_and_is_not_sent(
    lawless: Store, context: AttemptContext, name: str
) -> None:
    """SQLite takes any bytes for text."""
    context = replace(context, store=lawless)
    accept(lawless, *GOOD, partner_id=PARTNER_ID)
    insert(lawless, "BAD", partner_id=PARTNER_ID)
    odd = f"UPDATE cancel_jobs SET {name} = CAST(x'52ff' AS TEXT) WHERE partner_txn_uid = 'BAD'"  # noqa: S608 - names of ours
    execute(lawless, odd)
    read_everything(lawless)
    assert row(lawless, "BAD")[name] == "R\udcff"
    done = attempt("BAD", context)
    assert done is Result.SETTLED
    ended = only(row(lawless, "BAD"), "state", "outcome")
    assert ended == (
        ("succeeded", "cancelled") if name == "error_desc" else ("exhausted", "gave_up")
    )


def test_a_final_job_with_any_uid_is_read_and_pruned(store: Store, clock: Clock) -> None:
    clock.now = NOON
    insert(
        store,
        "ORDER 1",
        state="exhausted",
        outcome="gave_up",
        next_attempt_at=None,
        finished_at="2026-03-01 12:00:00",
        updated_at="2026-03-01 12:00:00",
    )
    assert row(store, "ORDER 1")["outcome"] == Outcome.GAVE_UP
    clock.forward(2 * MIN_AGE)
    assert store.retention.jobs(Outcome.GAVE_UP, older_than=MIN_AGE).jobs == 1
    assert store.jobs.exists("ORDER 1")

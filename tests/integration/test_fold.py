"""A job that is asked about for a week keeps few rows, and none of them says less than before."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlalchemy import event

from tests.integration.stock import (
    LEASE,
    LOST,
    SILENT,
    UNHEARD,
    Clock,
    accept,
    answer,
    attempts,
    claimed,
    evidence,
    execute,
    only,
    row,
    settle,
)
from tests.servers.roles import by_owner
from worker.domain.decision import Decision
from worker.domain.kplus import TokenEntry
from worker.domain.states import Event, Outcome
from worker.store import Evidence, RequeueRequest, Store

WEEK: Final = timedelta(days=7)
UNKNOWN: Final = Decision(Event.DOUBT, "unknown_code", "errorCode K is new", spent=False)


def said(code: str, description: str = "", status: str = "NEW") -> Evidence:
    return evidence(
        answer(
            TokenEntry("T-U1", "R1", (status,)),
            status_code="10",
            error_code=code,
            error_desc=description,
        )
    )


def ask(store: Store, clock: Clock, decision: Decision, heard: Evidence = UNHEARD) -> None:
    """Hold one inquiry about the job in doubt, and let five minutes pass."""
    mine = claimed(store, inquirers=("P1",))
    kind = replace(decision, bank_failed=False, wait=timedelta(minutes=4))
    assert settle(store, mine, kind, heard)
    clock.forward(300)


def doubted(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    assert settle(store, claimed(store), replace(LOST, bank_failed=False))
    clock.forward(300)


def fold(store: Store) -> int:
    return store.backlog.fold(most=20)


def conversations(rows: list[dict[str, Any]]) -> int:
    return sum(1 + each["folded"] for each in rows)


def test_a_job_in_doubt_for_a_week_keeps_few_rows(store: Store, clock: Clock) -> None:
    doubted(store, clock)
    clock.forward(55 * 60)
    begun, most = clock.now, 0
    while clock.now < begun + WEEK:
        hour = (clock.now - begun) // timedelta(hours=1)
        ask(store, clock, *((LOST,) if hour % 2 else (UNKNOWN, said("K", f"id {clock.now}"))))
        clock.forward(300)
        if clock.now.minute == 0:
            fold(store)
            most = max(most, len(attempts(store)))
    clock.forward(3600)
    fold(store)
    rows, job = attempts(store), row(store)
    assert len(rows) <= 5 < most <= 60
    assert conversations(rows) == job["conversations"] == 1 + WEEK // timedelta(minutes=10)
    assert job["attempts"] == 1
    minutes = [each["folded_minutes"] or {} for each in rows]
    assert [sum(each.values()) for each in minutes] == [each["folded"] for each in rows]
    every = {minute for each in minutes for minute in each}
    every |= {f"{each['started_at']:%Y-%m-%dT%H:%MZ}" for each in rows}
    assert len(every) == job["conversations"], "each call can still be found by its minute"
    assert {(row_["heard"], row_["error_code"]) for row_ in rows} == {
        ("read_timeout", None),
        ("unknown_code", "K"),
    }
    file = store.reports.file("U1")
    assert file is not None
    assert len({token["number"] for token in file.tokens}) == sum(
        each["heard"] == "unknown_code" for each in rows
    )


def test_what_was_folded_is_still_counted(store: Store, clock: Clock) -> None:
    doubted(store, clock)
    for _ in range(60):
        ask(store, clock, UNKNOWN, said("K"))
    before = store.unknown_words.codes()
    assert fold(store) > 0
    assert store.unknown_words.codes() == before
    assert before[0].times == 60


def test_rows_that_a_dialect_could_judge_apart_stay_apart(store: Store, clock: Clock) -> None:
    doubted(store, clock)
    for n in range(60):
        ask(store, clock, UNKNOWN, said(f"K{n % 2}", status=f"S{n % 3}"))
    clock.forward(3600)
    assert fold(store) == 60 - 2 * 6
    words = [only(each, "error_code", "folded") for each in attempts(store)[1:]]
    assert sorted(words) == sorted([(f"K{n}", f) for n in (0, 1) for f in (0, 8)] * 3)


def test_the_last_hour_stays_as_it_is(store: Store, clock: Clock) -> None:
    doubted(store, clock)
    for _ in range(40):
        ask(store, clock, LOST)
    before = attempts(store)
    fold(store)
    # What ended in the last hour, and the first and the last of those before.
    recent = [each for each in before if each["finished_at"] > clock.now - timedelta(hours=1)]
    assert attempts(store)[-len(recent) :] == recent
    assert len(attempts(store)) == len(recent) + 3


def test_a_late_answer_still_finds_the_row_that_the_rescue_left(store: Store, clock: Clock) -> None:
    doubted(store, clock)
    lost = []
    for _ in range(40):
        lost.append(claimed(store, inquirers=("P1",)))
        clock.forward(LEASE)
        assert settle(store, lost[-1], replace(SILENT, spent=False))
        clock.forward(300)
    assert fold(store) == 0
    cancelled = Decision(Event.SUCCEED, "cancelled", "late", outcome=Outcome.CANCELLED)
    assert store.jobs.settle_late(lost[7], cancelled, evidence(answer()))
    assert attempts(store)[8]["heard"] == "cancelled"


def test_what_was_asked_before_a_requeue_stays_apart(store: Store, clock: Clock) -> None:
    doubted(store, clock)
    for _ in range(20):
        ask(store, clock, LOST)
    ended = Decision(Event.EXHAUST, "read_timeout", "too old", outcome=Outcome.UNKNOWN)
    assert settle(store, claimed(store, inquirers=("P1",)), ended)
    clock.forward(300)
    store.actions.requeue(RequeueRequest("U1", inquirers=["P1"]), who="ploy", reason="again")
    since = clock.now
    assert settle(store, claimed(store, inquirers=("P1",)), replace(LOST, bank_failed=False))
    clock.forward(300)
    for _ in range(20):
        ask(store, clock, LOST)
    clock.forward(3600)
    fold(store)
    rows = attempts(store)
    assert conversations([each for each in rows if each["started_at"] < since]) == 22
    assert conversations([each for each in rows if each["started_at"] >= since]) == 21


def test_a_job_with_few_conversations_and_a_final_one_are_left_alone(
    store: Store, clock: Clock
) -> None:
    doubted(store, clock)
    for _ in range(29):
        ask(store, clock, LOST)
    clock.forward(3600)
    assert fold(store) == 0
    for _ in range(9):
        ask(store, clock, LOST)
    execute(
        store,
        "UPDATE cancel_jobs SET state = 'exhausted', outcome = 'unknown', finished_at = updated_at,"
        " next_attempt_at = NULL",
    )
    before = store.reports.file("U1")
    assert fold(store) == 0
    assert store.reports.file("U1") == before


def test_a_job_is_looked_through_twice_an_hour_and_no_job_keeps_out_another(
    store: Store, clock: Clock
) -> None:
    for uid in ("U1", "U2", "U3"):
        accept(store, uid)
    execute(store, "UPDATE cancel_jobs SET conversations = 31, doubted = true, state = 'in_doubt'")
    for _ in range(2):
        seen = [_looked_at(store) for _ in range(4) if store.backlog.fold(most=1) == 0]
        assert seen == [1, 2, 3, 3]
        clock.forward(1801)


def _looked_at(store: Store) -> int:
    now = store.database.times["now"]
    return sum(row(store, uid)["folded_at"] == now for uid in ("U1", "U2", "U3"))


@pytest.fixture
def statements(store: Store) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement)

    event.listen(store.database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(store.database.engine, "before_cursor_execute", note)


@by_owner
def test_with_nothing_to_fold_a_small_index_is_all_that_is_looked_at(
    store: Store, statements: list[str]
) -> None:
    accept(store, *(f"U{n}" for n in range(50)))
    statements.clear()
    assert fold(store) == 0
    looks = [each for each in statements if "cancel_" in each]
    assert len(looks) == 2
    if store.database.is_sqlite:  # PostgreSQL reads a table as small as this one as a whole
        for look in looks:
            with store.database.engine.connect() as connection:
                driver = connection.connection.driver_connection
                assert driver is not None
                nothing = [None] * look.count("?")
                plan = driver.execute(f"EXPLAIN QUERY PLAN {look}", nothing).fetchall()
            assert "ix_cancel_jobs_long" in str(plan)

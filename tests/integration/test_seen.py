"""What a person has to see alarms until somebody has seen it, and again when it is new."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from tests.integration.attempting import only_postgresql
from tests.integration.stock import (
    CANCELLED,
    NOON,
    PAID,
    Clock,
    accept,
    claimed,
    execute,
    only,
    row,
    settle,
)
from worker.domain.decision import Decision
from worker.domain.states import ALARMING, Event, Outcome
from worker.store import JobFilter, RequeueRequest, Store, UnseenEnds, Verdict
from worker.store.reports.seen import UnseenReport
from worker.store.schema.tables import audits

ENDS = {
    Outcome.PAID: PAID,
    Outcome.REFUSED: Decision(Event.REFUSE, "refused", "e", outcome=Outcome.REFUSED),
    **{
        outcome: Decision(Event.EXHAUST, "later", "busy", outcome=outcome)
        for outcome in (Outcome.UNKNOWN, Outcome.GAVE_UP, Outcome.LAPSED)
    },
}


def end(store: Store, decision: Decision, *uids: str, **fields: Any) -> None:
    for uid in uids or ("U1",):
        accept(store, uid, **fields)
        settle(store, claimed(store, uid), decision)


def drift(store: Store, clock: Clock, uid: str = "U1") -> None:
    with store.database.engine.begin() as connection:
        connection.execute(
            insert(audits).values(
                partner_txn_uid=uid,
                partner_id="P1",
                wire_uid="q",
                held="cancelled",
                started_at=clock.now,
                ends_at=clock.now,
                finished_at=clock.now,
                verdict="drifts",
                heard="paid",
                token_status="PAID",
                detail="d",
            )
        )


def see(store: Store, *uids: str) -> list[Verdict]:
    results = store.actions.see(uids or ("U1",), who="ploy", reason="refunded")
    return [each.verdict for each in results]


def unseen(store: Store) -> dict[Outcome, int]:
    return {outcome: ends.jobs for outcome, ends in store.unseen.read().ends.items()}


def test_every_outcome_that_costs_money_is_counted_the_costliest_first(
    store: Store, clock: Clock
) -> None:
    assert set(ENDS) == set(ALARMING)
    for number, decision in enumerate(ENDS.values()):
        end(store, decision, f"U{number}")
        clock.forward(60)
    end(store, ENDS[Outcome.GAVE_UP], "U8")
    end(store, CANCELLED, "U9")
    found = store.unseen.read()
    assert [*found.ends] == ["paid", "unknown", "gave_up", "refused", "lapsed"]
    assert found.ends[Outcome.GAVE_UP] == UnseenEnds(2, NOON + timedelta(minutes=3))
    assert found.drift is None


@pytest.mark.parametrize("outcome", ALARMING)
def test_what_was_seen_alarms_no_more_and_is_on_record(store: Store, outcome: Outcome) -> None:
    end(store, ENDS[outcome])
    before = row(store)
    assert see(store) == [Verdict.DONE]
    assert unseen(store) == {}
    assert row(store) == {**before, "seen_at": NOON}
    (record,) = store.reports.actions("U1")
    assert only(record, "action", "who", "reason", "at") == ("seen", "ploy", "refunded", NOON)
    assert see(store) == [Verdict.DONE_BEFORE]
    assert len(store.reports.actions("U1")) == 1


def test_another_end_of_the_same_job_is_new(store: Store) -> None:
    """Even in the same moment, and with the same outcome."""
    end(store, ENDS[Outcome.GAVE_UP])
    see(store)
    store.actions.requeue(RequeueRequest("U1", ()), who="ploy", reason="mended")
    assert unseen(store) == {}
    settle(store, claimed(store), ENDS[Outcome.GAVE_UP])
    assert unseen(store) == {Outcome.GAVE_UP: 1}


def test_an_end_after_a_requeue_of_an_older_version_is_new(store: Store, clock: Clock) -> None:
    """That version leaves `seen_at` as it is."""
    end(store, ENDS[Outcome.GAVE_UP])
    see(store)
    clock.forward(1)
    execute(store, "UPDATE cancel_jobs SET finished_at = :at", at=clock.now.replace(tzinfo=None))
    assert unseen(store) == {Outcome.GAVE_UP: 1}


def test_what_was_seen_stays_seen_though_the_clock_is_set_back(store: Store, clock: Clock) -> None:
    end(store, PAID)
    clock.forward(-600)
    see(store)
    assert unseen(store) == {}


def test_what_another_job_continues_alarms_no_more(store: Store) -> None:
    end(store, ENDS[Outcome.UNKNOWN])
    store.actions.reissue(RequeueRequest("U1", ()), "U2", who="ploy", reason="no way on")
    assert unseen(store) == {}


def test_where_there_is_nothing_to_see_nothing_is_recorded(store: Store) -> None:
    end(store, CANCELLED, "U1")
    accept(store, "U2")
    assert see(store, "U1", "U2", "U3") == [
        Verdict.NOTHING_TO_SEE,
        Verdict.NOT_FINAL,
        Verdict.NOT_FOUND,
    ]
    assert store.reports.actions() == []


def test_drift_alarms_until_it_is_seen_and_newer_drift_again(store: Store, clock: Clock) -> None:
    end(store, CANCELLED)
    clock.forward(60)
    drift(store, clock)
    drift(store, clock)
    assert store.unseen.read().drift == UnseenEnds(1, clock.now)
    clock.forward(60)
    assert see(store) == [Verdict.DONE]
    assert store.unseen.read().drift is None
    clock.forward(60)
    drift(store, clock)
    assert store.unseen.read().drift == UnseenEnds(1, clock.now)


def test_drift_of_an_end_that_was_reopened_alarms_no_more(store: Store, clock: Clock) -> None:
    end(store, CANCELLED)
    drift(store, clock)
    store.actions.requeue(RequeueRequest("U1", ()), who="ploy", reason="drift")
    assert store.unseen.read().drift is None


def test_all_of_an_outcome_are_marked_batch_by_batch(store: Store, clock: Clock) -> None:
    end(store, PAID, "U1", "U2", "U3")
    end(store, PAID, "U4", partner_id="P2")
    end(store, ENDS[Outcome.REFUSED], "U5")
    end(store, CANCELLED, "U6")
    drift(store, clock, "U6")
    of_p1 = JobFilter(outcome=Outcome.PAID, partner_id="P1")
    assert store.actions.count_unseen(of_p1) == {("paid", "P1"): 3}
    by: dict[str, Any] = {"who": "ploy", "reason": "refunded"}
    marked = [store.actions.see_next(of_p1, most=2, **by) for _ in range(3)]
    assert marked == [2, 1, 0]
    assert unseen(store) == {Outcome.PAID: 1, Outcome.REFUSED: 1}
    assert [each["partner_txn_uid"] for each in store.reports.jobs(JobFilter(unseen=True))] == [
        "U5",
        "U4",
    ]
    assert store.actions.see_next(JobFilter(drifted=True), most=2, **by) == 1
    assert store.unseen.read().drift is None


@only_postgresql
def test_the_count_is_read_from_the_index_over_the_unseen(store: Store) -> None:
    """However many jobs have ended: the index holds none that was seen."""
    statement = UnseenReport(store.database)._ends  # noqa: SLF001 - the plan is the promise
    sql = str(statement.compile(store.database.engine, compile_kwargs={"literal_binds": True}))
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN {sql.replace('%', '%%')}").scalars().all()
    assert any("ix_cancel_jobs_unseen" in line for line in plan), plan

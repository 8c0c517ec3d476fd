"""What was pruned stays known: its uid never becomes a job again, whoever brings it and when."""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Event as Signal
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import IntegrityError

from tests.integration.attempting import only_postgresql
from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    ANSWERED,
    BUSY,
    CANCELLED,
    NOON,
    PAID,
    SECOND,
    Clock,
    accept,
    claimed,
    execute,
    only,
    order,
    settle,
)
from tests.servers.waiting import LIMIT, eventually
from worker.domain.decision import Decision
from worker.domain.destinations import Destination
from worker.domain.states import Event, Outcome, State
from worker.store import Acceptance, RejectedMessage, RequeueRequest, Status, Store, Verdict
from worker.store.operators.retention import MIN_AGE, Batch, oldest

DAYS_90 = timedelta(days=90)
UNKNOWN = Decision(Event.EXHAUST, "duplicate", "seen", outcome=Outcome.UNKNOWN)
AGAIN = Acceptance(Status.DUPLICATE, State.SUCCEEDED, Outcome.CANCELLED)


def end(store: Store, *uids: str, decision: Decision = CANCELLED) -> None:
    for uid in uids:
        accept(store, uid)
        settle(store, claimed(store, uid), decision, ANSWERED)


def prune(store: Store, outcome: Outcome = Outcome.CANCELLED, **options: Any) -> Batch:
    return store.retention.jobs(outcome, older_than=DAYS_90, **options)


@pytest.fixture
def pruned(store: Store, clock: Clock) -> Store:
    """A store that knew the job U1, cancelled at noon, and pruned it."""
    end(store, "U1")
    clock.forward(DAYS_90 + SECOND)
    assert prune(store).jobs == 1
    return store


def count(store: Store, table: str) -> int:
    with store.database.reading() as connection:
        found = connection.execute(text(f"SELECT count(*) FROM {table}"))  # noqa: S608
        return int(found.scalar_one())


def test_a_pruned_job_leaves_a_tombstone_and_nothing_else(pruned: Store, clock: Clock) -> None:
    left = pruned.retention.tombstone("U1")
    assert left is not None
    assert only(left, "partner_id", "state", "outcome", "finished_at", "pruned_at") == (
        "P1",
        State.SUCCEEDED,
        Outcome.CANCELLED,
        NOON,
        clock.now,
    )
    assert "T-U1" not in str(left)
    assert pruned.reports.file("U1") is None
    for table in ("cancel_jobs", "cancel_attempts", "token_statuses"):
        assert count(pruned, table) == 0


def test_a_delivery_after_pruning_does_nothing_and_says_how_the_job_ended(pruned: Store) -> None:
    for _ in range(2):
        assert pruned.jobs.accept(order(), hinted=True) == AGAIN
    assert pruned.jobs.exists("U1")
    assert count(pruned, "cancel_jobs") == 0


@pytest.mark.parametrize("name", ["partner_id", "token_id", "reference1"])
def test_other_content_under_a_pruned_uid_is_a_conflict(pruned: Store, name: str) -> None:
    other = pruned.jobs.accept(order(**{name: "other"}), hinted=False)
    assert other == Acceptance(Status.CONFLICT, State.SUCCEEDED, Outcome.CANCELLED)
    assert count(pruned, "cancel_jobs") == 0


def test_whoever_knows_sql_and_nothing_else_cannot_bring_a_pruned_job_back(pruned: Store) -> None:
    execute(
        pruned,
        "INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1) VALUES"
        " ('U0', 'P1', 'T0', 'R'), ('U1', 'P1', 'T1', 'R'), ('U2', 'P1', 'T2', 'R')",
    )
    found = {job["partner_txn_uid"] for job in pruned.reports.jobs()}
    assert found == {"U0", "U2"}


def test_a_uid_that_is_stored_is_still_refused_to_plain_sql(store: Store) -> None:
    end(store, "U1")
    with pytest.raises(IntegrityError):
        execute(
            store,
            "INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1)"
            " VALUES ('U1', 'P1', 'T1', 'R')",
        )


def test_no_job_is_continued_under_a_pruned_uid(pruned: Store) -> None:
    end(pruned, "U2", decision=UNKNOWN)
    ruling = pruned.actions.reissue(RequeueRequest("U2", ()), "U1", who="ploy", reason="why")
    assert ruling.verdict is Verdict.UID_TAKEN


def test_only_old_jobs_of_that_outcome_are_pruned(store: Store, clock: Clock) -> None:
    end(store, "old")
    end(store, "paid", decision=PAID)
    end(store, "waits", decision=BUSY)
    clock.forward(SECOND)
    end(store, "young")
    clock.forward(DAYS_90)
    assert store.retention.count(Outcome.CANCELLED, older_than=DAYS_90) == 1
    assert prune(store) == Batch(1, None)
    assert prune(store) == Batch(0, None)
    found = {job["partner_txn_uid"] for job in store.reports.jobs()}
    assert found == {"paid", "waits", "young"}


def test_a_job_that_an_operator_requeued_is_not_pruned(store: Store, clock: Clock) -> None:
    end(store, "U1", decision=UNKNOWN)
    clock.forward(2 * DAYS_90)
    store.actions.requeue(RequeueRequest("U1", ()), who="ploy", reason="why")
    assert prune(store, Outcome.UNKNOWN).jobs == 0


def test_batches_follow_each_other_until_none_is_left(store: Store, clock: Clock) -> None:
    for uid in ("U1", "U2", "U3", "U4", "U5"):
        end(store, uid)
        clock.forward(SECOND)
    clock.forward(DAYS_90)
    sizes, since = [], None
    while True:
        batch = prune(store, since=since, most=2)
        sizes.append(batch.jobs)
        since = batch.next_since
        if since is None:
            break
    assert sizes == [2, 2, 1]
    assert count(store, "tombstones") == 5


def test_nothing_is_pruned_before_it_is_a_day_old(store: Store) -> None:
    with pytest.raises(ValueError, match="nothing younger"):
        store.retention.jobs(Outcome.CANCELLED, older_than=MIN_AGE - SECOND)


@contextmanager
def held_before_commit() -> Iterator[tuple[Signal, Signal]]:
    """Hold a prune between its last statement and its commit, until told to go on."""
    reached, go_on = Signal(), Signal()

    def hold(_connection: Any, _cursor: Any, sql: str, *_rest: Any) -> None:
        if re.match(r"DELETE FROM (\w+\.)?cancel_jobs", sql):
            reached.set()
            assert go_on.wait(LIMIT)

    event.listen(Engine, "after_cursor_execute", hold)
    yield reached, go_on
    event.remove(Engine, "after_cursor_execute", hold)


def waits_for_a_lock(store: Store) -> bool:
    if store.database.is_sqlite:
        return True  # every writer waits for the one before it
    sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with store.database.reading() as connection:
        return bool(connection.exec_driver_sql(sql).scalar_one())


def after(held: Signal, go_on: Signal, pending: Future[Any], looking: Store) -> Any:
    """Return what came of an insert that had to wait for the prune."""
    assert held.is_set()
    eventually(lambda: waits_for_a_lock(looking))
    go_on.set()
    return pending.result(LIMIT)


@pytest.mark.parametrize("plain", [False, True], ids=["accept", "plain SQL"])
def test_an_insert_that_meets_a_prune_under_way_does_nothing(
    store: Store, open_store: OpenStore, clock: Clock, *, plain: bool
) -> None:
    """The look at the table before the wait saw the job, the one after it sees the tombstone."""
    end(store, "U1")
    clock.forward(DAYS_90 + SECOND)
    pruning, accepting, looking = open_store(clock), open_store(clock), open_store(clock)

    def bring() -> Any:
        if not plain:
            return accepting.jobs.accept(order(), hinted=False)
        return execute(
            accepting,
            "INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1)"
            " VALUES ('U1', 'P1', 'T-U1', 'R1')",
        )

    with (
        ThreadPoolExecutor(2) as threads,
        held_before_commit() as (reached, go_on),
    ):
        first = threads.submit(prune, pruning)
        assert reached.wait(LIMIT)
        heard = after(reached, go_on, threads.submit(bring), looking)
        assert first.result(LIMIT).jobs == 1
    assert heard == (None if plain else AGAIN)
    assert count(store, "cancel_jobs") == 0
    assert store.retention.tombstone("U1") is not None


@only_postgresql
def test_a_session_whose_snapshot_is_older_than_the_prune_is_told_to_begin_anew(
    store: Store, open_store: OpenStore, clock: Clock
) -> None:
    """Under REPEATABLE READ the tombstone cannot be seen; the job's end can."""
    end(store, "U1")
    clock.forward(DAYS_90 + SECOND)
    theirs = open_store(clock).database.engine.execution_options(isolation_level="REPEATABLE READ")
    with theirs.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM cancel_jobs").scalar_one() == 1
        prune(store)
        with pytest.raises(Exception, match="could not serialize"):
            store.jobs.accept(order(), hinted=False, connection=connection)
    assert count(store, "cancel_jobs") == 0


@only_postgresql
def test_a_prune_waits_for_nobody(store: Store, open_store: OpenStore, clock: Clock) -> None:
    """A producer's open transaction that met a job again keeps it; the next prune takes it."""
    end(store, "U1", "U2")
    clock.forward(DAYS_90 + SECOND)
    with open_store(clock).database.engine.begin() as connection:
        assert store.jobs.accept(order(), hinted=False, connection=connection) == AGAIN
        assert prune(store).jobs == 1
        # Nor do operators wait for it.
        assert store.actions.judge(RequeueRequest("U1", ())).verdict is Verdict.SUCCEEDED
    assert prune(store).jobs == 1


def test_deliveries_beside_prunes_bring_no_job_back(
    store: Store, open_store: OpenStore, clock: Clock
) -> None:
    uids = [f"U{n}" for n in range(40)]
    end(store, *uids)
    clock.forward(DAYS_90 + SECOND)
    stores = [open_store(clock) for _ in range(4)]

    def deliver(mine: Store) -> set[Acceptance]:
        return {mine.jobs.accept(order(uid), hinted=False) for _ in range(3) for uid in uids}

    def remove(mine: Store) -> int:
        return sum(prune(mine, most=3).jobs for _ in range(20))

    with ThreadPoolExecutor(4) as threads:
        heard = [threads.submit(deliver, each) for each in stores[:2]]
        done = [threads.submit(remove, each) for each in stores[2:]]
        assert {each for future in heard for each in future.result(LIMIT)} == {AGAIN}
        removed = sum(future.result(LIMIT) for future in done)
    while jobs := prune(store).jobs:
        removed += jobs
    assert removed == count(store, "tombstones") == len(uids)
    assert count(store, "cancel_jobs") == 0


@only_postgresql
def test_who_may_only_insert_jobs_still_may(pruned: Store) -> None:
    """The trigger reads with its owner's rights: no producer needs new ones."""
    with pruned.database.engine.connect() as connection:
        for sql in (
            "CREATE ROLE kplus_producer",
            "GRANT INSERT ON cancel_jobs TO kplus_producer",
            "SET LOCAL ROLE kplus_producer",
            (
                "INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1)"
                " VALUES ('U1', 'P1', 'T1', 'R'), ('U2', 'P1', 'T2', 'R')"
            ),
            "RESET ROLE",
        ):
            connection.exec_driver_sql(sql)
        found = connection.exec_driver_sql("SELECT partner_txn_uid FROM cancel_jobs").scalars()
        assert list(found) == ["U2"]
        connection.rollback()


@only_postgresql
def test_a_batch_of_a_large_table_is_found_by_an_index(store: Store) -> None:
    """Among many jobs the few oldest are read, and no more: neither scan nor sort is planned."""
    many = (
        "INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1, state,"
        " outcome, finished_at, next_attempt_at, updated_at)"
        " SELECT 'B' || n, 'P1', 'T', 'R', 'succeeded', 'cancelled', at, NULL, at"
        " FROM (SELECT n, timestamptz '2025-01-01' + n * interval '1 minute' AS at"
        "       FROM generate_series(1, 20000) AS n) AS made"
    )
    params = {
        "state": "succeeded",
        "outcome": "cancelled",
        "most": 500,
        "since": NOON - 999 * DAYS_90,
    }
    with store.database.engine.connect() as connection:
        connection.exec_driver_sql(many)
        connection.exec_driver_sql("ANALYZE cancel_jobs")
        sql = str(oldest().compile(connection, compile_kwargs={"render_postcompile": True}))
        plan = connection.exec_driver_sql(
            f"EXPLAIN {sql}", {**params, "now": NOON, "ago_seconds": -86400.0}
        ).scalars()
        told = "\n".join(plan)
        connection.rollback()
    assert "ix_cancel_jobs_listed" in told
    assert "Seq Scan" not in told
    assert "Sort" not in told


@only_postgresql
def test_an_insert_into_a_table_that_was_empty_reads_no_other_row(store: Store) -> None:
    """The trigger's plan is as old as the session; made on an empty table it would scan it all."""
    many = (
        "INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1)"
        " SELECT 'B' || n, 'P1', 'T', 'R' FROM generate_series(1, 300) AS n"
    )
    scanned = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'cancel_jobs'"
    with store.database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("VACUUM ANALYZE cancel_jobs, tombstones")
    with store.database.engine.connect() as connection:
        before = connection.exec_driver_sql(scanned).scalar()
        connection.exec_driver_sql(many)
        after = connection.exec_driver_sql(scanned).scalar()
        connection.rollback()
    assert after == before


def test_rejected_messages_are_removed_when_they_were_last_seen_long_ago(
    store: Store, clock: Clock
) -> None:
    for body in ("1", "2"):
        store.rejected_messages.keep(RejectedMessage("not_json", "no", body))
    clock.forward(DAYS_90 + SECOND)
    store.rejected_messages.keep(RejectedMessage("not_json", "no", "2"))
    assert store.retention.count_messages(older_than=DAYS_90) == 1
    assert store.retention.messages(older_than=DAYS_90) == 1
    assert [message.body for message in store.rejected_messages.latest(most=9)] == ["2"]


def test_records_of_acts_are_removed_except_of_partners_that_are_paused(
    store: Store, clock: Clock
) -> None:
    store.actions.pause_partner("P1", who="ploy", reason="why")
    store.actions.resume_partner("P1", who="ploy", reason="why")
    store.actions.pause_partner("P2", who="ploy", reason="why")
    clock.forward(DAYS_90 + SECOND)
    assert store.retention.count_actions(older_than=DAYS_90) == 2
    assert store.retention.actions(older_than=DAYS_90, most=1) == 1
    assert store.retention.actions(older_than=DAYS_90) == 1
    assert [act["target"] for act in store.reports.actions()] == ["P2"]


def test_what_was_told_of_a_pruned_job_goes_and_what_was_not_stays(
    store: Store, clock: Clock
) -> None:
    told = Store(store.database, destinations=[Destination.WEBHOOK])
    end(told, "U1", "U2", "U3")
    for parcel in told.outbox.claim(Destination.WEBHOOK, most=9, lease=SECOND):
        if parcel.uid == "U1":
            told.outbox.delivered(parcel)
        if parcel.uid == "U2":
            told.outbox.failed(parcel, "http_500", wait=None)
    clock.forward(2 * MIN_AGE)
    told.retention.jobs(Outcome.CANCELLED, older_than=MIN_AGE)
    assert count(told, "cancel_jobs") == 0
    left = {row["partner_txn_uid"]: row["state"] for row in told.outbox.events(most=9)}
    assert left == {"U2": "dead", "U3": "waiting"}


def test_told_outcomes_are_removed_by_their_own_age(store: Store, clock: Clock) -> None:
    told = Store(store.database, destinations=tuple(Destination))
    end(told, "U1", "U2")
    (parcel, _) = told.outbox.claim(Destination.WEBHOOK, most=9, lease=SECOND)
    told.outbox.delivered(parcel)
    clock.forward(2 * MIN_AGE)
    assert told.retention.count_events(older_than=MIN_AGE) == 1
    assert told.retention.events(older_than=MIN_AGE) == 1
    assert told.retention.events(older_than=MIN_AGE) == 0
    assert count(told, "outbox") == 3
    assert count(told, "cancel_jobs") == 2

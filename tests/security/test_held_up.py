"""What a role with few rights can hold, and for how long: it stops no sweep and no other job."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.attempting import SHORT
from tests.integration.stock import ANSWERED, CANCELLED, accept, claimed, hint, order, settle
from tests.security.conftest import PRUNED, Log
from tests.servers.databases import PATIENT
from tests.servers.roles import Roles
from tests.servers.waiting import LIMIT
from worker.config.dialect_file import built_in
from worker.errors import StoreUnavailable
from worker.store import RequeueRequest, Status, Store, Verdict, is_locked, open_database
from worker.store.jobs.turn import HINTS, Turn

pytestmark = pytest.mark.postgres

INSERT = (
    "INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1)"
    f" VALUES ('{PRUNED}', 'P1', 'T', 'R')"
)
READ = "SELECT count(*) FROM cancel_jobs"
OLD_LOCK = 0x6B706C7573
"""The advisory lock by which the sweeps of 0.1 and before take turns."""
HELD: dict[str, tuple[str, str]] = {
    "the old lock, by a session": ("producer", f"SELECT pg_advisory_lock({OLD_LOCK})"),
    "the old lock, by a transaction": ("reader", f"SELECT pg_advisory_xact_lock({OLD_LOCK})"),
    "a job that is not committed": ("producer", INSERT),
    "a message that is not committed": (
        "producer",
        (
            "INSERT INTO rejected_messages (digest, reason, detail, body, first_at, last_at)"
            " VALUES ('d', 'r', 'd', 'b', now(), now())"
        ),
    ),
    "a read of everything": ("reader", "SELECT count(*) FROM cancel_jobs, outbox, tombstones"),
    "a read of the jobs": ("producer", READ),
}


@pytest.fixture
def by_worker(database: str, roles: Roles, store: Store) -> Iterator[Store]:
    """The store as a worker has it."""
    one = Store(open_database(roles.url(database, "worker")))
    yield one
    one.close()


@pytest.mark.parametrize("held", HELD.values(), ids=list(HELD))
def test_nobody_holds_up_the_hints(held: tuple[str, str], log_in: Log, by_worker: Store) -> None:
    role, statement = held
    session = log_in(role)
    session.execute("BEGIN")
    session.execute(statement)
    accept(by_worker, "U2", "U3")
    assert sorted(hint(by_worker)) == ["U2", "U3"]
    assert settle(by_worker, claimed(by_worker, "U2"), CANCELLED, ANSWERED)


def test_the_hints_of_one_sweep_at_a_time_are_chosen(
    by_worker: Store, database: str, roles: Roles
) -> None:
    """The row comes with the first use, and a table that was emptied stops nobody."""
    accept(by_worker, "U1")
    other = open_database(roles.url(database, "worker"))
    turn = Turn(other, HINTS)
    with other.writing() as connection:
        assert turn.take(connection)
    with other.writing() as connection:
        assert turn.take(connection)
        assert hint(by_worker) == []
    assert hint(by_worker) == ["U1"]
    other.close()


def test_a_uid_that_another_transaction_stores_is_not_waited_for(
    database: str, roles: Roles, log_in: Log
) -> None:
    """Here the connection's own limit is none: whoever waits by it waits for ever."""
    forever = replace(PATIENT, lock=timedelta(0))
    worker = Store(open_database(roles.url(database, "worker"), timeouts=forever))
    producer = log_in("producer")
    producer.execute("BEGIN")
    producer.execute(INSERT)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(worker.jobs.accept, order(PRUNED), hinted=False)
        try:
            with pytest.raises(StoreUnavailable) as refused:
                waiting.result(LIMIT)
            assert is_locked(refused.value)
        finally:
            producer.execute("COMMIT")
    assert worker.jobs.accept(order(PRUNED), hinted=False).status is Status.CONFLICT
    worker.close()


@pytest.mark.parametrize("role", ["producer", "reader"])
def test_an_end_that_others_have_met_can_be_requeued_and_rejudged(
    role: str, log_in: Log, database: str, store: Store
) -> None:
    """A producer's open insert of its uid holds the key of the final row, and nothing else."""
    accept(store, PRUNED)
    settle(store, claimed(store, PRUNED), CANCELLED, ANSWERED)
    session = log_in(role)
    session.execute("BEGIN")
    session.execute(f"{INSERT} ON CONFLICT DO NOTHING" if role == "producer" else READ)
    hasty = Store(open_database(database, timeouts=replace(PATIENT, lock=SHORT)))
    told = hasty.actions.requeue(RequeueRequest(PRUNED, ()), who="ploy", reason="why")
    assert told.verdict is Verdict.SUCCEEDED
    told = hasty.actions.rejudge(PRUNED, built_in(), who="ploy", reason="why")
    assert told.verdict is Verdict.NOT_IN_DOUBT
    hasty.close()

"""Behind PgBouncer, in both modes: everything works, and nothing of ours stays in its sessions."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, func, literal, make_url, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from tests.integration.attempting import only_postgresql
from tests.integration.stock import CANCELLED, LEASE, evidence, order, roster
from tests.integration.test_session_defaults import HOSTILE, OURS, set_defaults, shown
from tests.servers.databases import PATIENT
from tests.servers.poolers import SESSION, TRANSACTION, MakePooler, PgBouncer
from worker.domain.destinations import Destination
from worker.errors import StoreUnavailable
from worker.store import Status, Store, open_database
from worker.store.engine.prepared import Prepared
from worker.store.schema.migrate import ADVISORY_LOCK, upgrade

pytestmark = only_postgresql

JOBS = 40
BOTH = pytest.mark.parametrize("mode", [SESSION, TRANSACTION])


def opened(url: str, **options: Any) -> closing[Store]:
    database = open_database(url, connections=8, timeouts=PATIENT)
    return closing(Store(database, **options))


def worked_off(store: Store, uid: str) -> bool:
    """Let a job go all its way, each step a transaction of its own."""
    accepted = store.jobs.accept(order(uid, reference1="ไทย"), hinted=False)
    claim = store.jobs.claim(uid, lease=LEASE, roster=roster())
    assert accepted.status is Status.ACCEPTED
    assert claim is not None
    assert claim.request.reference1 == "ไทย"
    return store.jobs.settle(claim, CANCELLED, evidence())


@BOTH
@pytest.mark.parametrize("receivers", [(), tuple(Destination)], ids=["untold", "told"])
def test_jobs_of_many_threads_go_all_their_way(
    database: str, pooler: MakePooler, mode: str, receivers: tuple[Destination, ...]
) -> None:
    """With fewer sessions than clients: each transaction is in another session."""
    front = pooler(database, mode=mode, default_pool_size=8 if mode == SESSION else 3)
    with opened(front.url, destinations=receivers) as store, ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda number: worked_off(store, f"U{number}"), range(JOBS)))
        assert store.reports.stats().outcomes["cancelled"] == JOBS
        assert len(store.outbox.events()) == JOBS * len(receivers)


def its_sessions(front: PgBouncer, *, clients: int = 8) -> list[dict[str, Any]]:
    """Return how each session of a transaction pooler is, as its next client finds it."""
    found: dict[int, dict[str, Any]] = {}
    held = [psycopg.connect(_libpq(front), prepare_threshold=None) for _ in range(clients)]
    for client in held:
        # Each holds a session until its transaction ends.
        pid = client.execute("SELECT pg_backend_pid()").fetchone()
        settings = client.execute(
            "SELECT name, setting FROM pg_settings WHERE source = 'session'"
            " AND name NOT IN ('client_encoding', 'application_name')"
        ).fetchall()
        prepared = client.execute(
            # Those that the pooler made itself, and gives to whom they belong.
            "SELECT name FROM pg_prepared_statements WHERE name NOT LIKE 'PGBOUNCER\\_%'"
        ).fetchall()
        locks = client.execute(
            "SELECT locktype FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
        ).fetchall()
        assert pid is not None
        found[pid[0]] = {"settings": settings, "prepared": prepared, "locks": locks}
    for client in held:
        client.close()
    return list(found.values())


def _libpq(front: PgBouncer) -> str:
    url = make_url(front.url).set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


def upgraded(url: str, home: Path) -> list[str]:
    with closing(open_database(url, timeouts=PATIENT)) as database:
        return upgrade(database, home=home)


def test_nothing_of_ours_stays_in_a_session_that_others_use(
    empty_database: str, pooler: MakePooler, tmp_path: Path
) -> None:
    front = pooler(empty_database, default_pool_size=8)
    assert upgraded(front.url, tmp_path)
    assert upgraded(front.url, tmp_path) == []
    with opened(front.url) as store, ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda number: worked_off(store, f"U{number}"), range(JOBS)))
        store.bulk.accept([order(f"B{number}") for number in range(JOBS)])
        store.reports.stats()
    clean: dict[str, Any] = {"settings": [], "prepared": [], "locks": []}
    assert its_sessions(front) == [clean] * 8


PATIENT_ENOUGH = {"statement_timeout": "100ms", "lock_timeout": "100ms"}
"""What still lets a client connect: until it has, the defaults count."""
LEFT_BEHIND = (
    "SET datestyle = 'German'; SET timezone = 'Asia/Kathmandu'; SET extra_float_digits = -15;"
    " SET intervalstyle = 'sql_standard'; SET synchronous_commit = off; SET lock_timeout = '1ms';"
    " SET default_transaction_isolation = 'serializable'; SET jit = on;"
    " SET idle_in_transaction_session_timeout = '1ms'"
)


@BOTH
def test_what_a_database_has_as_defaults_counts_as_little_behind_a_pooler(
    database: str, pooler: MakePooler, mode: str
) -> None:
    set_defaults(database, **HOSTILE | PATIENT_ENOUGH)
    front = pooler(database, mode=mode)
    with opened(front.url) as store:
        assert shown(store) == OURS
        assert worked_off(store, "U1")


def test_what_others_leave_behind_in_the_sessions_does_not_count(
    database: str, pooler: MakePooler
) -> None:
    """Other programs of the same pool need not be as careful as we are."""
    front = pooler(database, default_pool_size=1)
    with psycopg.connect(_libpq(front), autocommit=True, prepare_threshold=None) as careless:
        careless.execute(LEFT_BEHIND)
        with opened(front.url) as store:
            assert shown(store) == OURS
            assert all(worked_off(store, f"U{number}") for number in range(3))


FAILS = select((literal(1) / func.nullif(literal(0), 1)).label("none"))


def test_a_statement_that_fails_holds_no_session(
    database: str, pooler: MakePooler, caplog: pytest.LogCaptureFixture
) -> None:
    """Its transaction has begun, and would keep the only session of the pool."""
    front = pooler(database, default_pool_size=1)
    with opened(front.url) as store:
        fails = Prepared(store.database, FAILS)
        for number in range(20):
            with pytest.raises((StoreUnavailable, StatementError), match="division by zero"):
                fails()
            assert worked_off(store, f"U{number}")
        with opened(front.url) as other:
            assert worked_off(other, "OTHER")
    assert caplog.messages == []


def test_a_session_that_ends_in_the_midst_of_a_statement_is_given_up(
    database: str, pooler: MakePooler
) -> None:
    front = pooler(database, default_pool_size=1)
    with opened(front.url) as store:
        end = Prepared(
            store.database, select(func.pg_terminate_backend(func.pg_backend_pid()).label("done"))
        )
        for number in range(5):
            with pytest.raises(StoreUnavailable):
                end()
            assert worked_off(store, f"U{number}")


def test_a_pooler_that_was_away_is_found_again(database: str, pooler: MakePooler) -> None:
    front = pooler(database)
    with opened(front.url) as store:
        assert worked_off(store, "U1")
        for number in range(3):
            front.stop()
            with pytest.raises(StoreUnavailable):
                store.jobs.accept(order(f"AWAY{number}"), hinted=False)
            front.start()
            assert worked_off(store, f"BACK{number}")


def test_a_callers_session_may_go_through_a_pooler(database: str, pooler: MakePooler) -> None:
    front = pooler(database, default_pool_size=1)
    url, options = make_url(front.url), {"prepare_threshold": None}
    theirs = create_engine(url, connect_args=options)
    with opened(front.url) as store:
        with Session(theirs) as session, session.begin():
            accepted = store.jobs.accept(order("U1"), hinted=False, connection=session.connection())
        with Session(theirs) as session:
            store.jobs.accept(order("U2"), hinted=False, connection=session.connection())
            session.rollback()
        assert accepted.status is Status.ACCEPTED
        assert (store.jobs.exists("U1"), store.jobs.exists("U2")) == (True, False)
    theirs.dispose()
    clean: dict[str, Any] = {"settings": [], "prepared": [], "locks": []}
    assert its_sessions(front, clients=1) == [clean]


def test_a_lock_that_an_older_version_left_in_the_pool_is_named_and_can_be_ended(
    database: str, empty_database: str, pooler: MakePooler, tmp_path: Path
) -> None:
    """And no session of another database is, which may hold the same number."""
    front = pooler(database)
    lock = f"SELECT pg_backend_pid(), pg_advisory_lock({ADVISORY_LOCK})"
    elsewhere = make_url(empty_database).set(drivername="postgresql")
    with (
        psycopg.connect(elsewhere.render_as_string(hide_password=False)) as other,
        psycopg.connect(_libpq(front), autocommit=True, prepare_threshold=None) as leaving,
    ):
        other.execute(lock.encode())
        holder = leaving.execute(lock.encode()).fetchone()
        assert holder is not None
        # It keeps the session, as the load of other programs does: the upgrade gets another one.
        leaving.execute("BEGIN")
        with closing(open_database(front.url, timeouts=PATIENT)) as behind:
            with pytest.raises(
                StoreUnavailable, match=rf"use: process {holder[0]} of the \S+ \S+ h"
            ):
                upgrade(behind, home=tmp_path, lock_timeout="100ms")
            with behind.writing() as connection:
                connection.exec_driver_sql(f"SELECT pg_terminate_backend({holder[0]})")
            assert upgrade(behind, home=tmp_path, lock_timeout="10s") == []
        leaving.close()

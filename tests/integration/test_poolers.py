"""Behind PgBouncer, in both modes: everything works, and nothing of ours stays in its sessions."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from tests.integration.attempting import only_postgresql
from tests.integration.stock import CANCELLED, LEASE, evidence, order, roster
from tests.servers.databases import PATIENT
from tests.servers.poolers import SESSION, TRANSACTION, MakePooler, PgBouncer
from worker.domain.destinations import Destination
from worker.store import Status, Store, open_database
from worker.store.schema.migrate import upgrade

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


def its_sessions(front: PgBouncer) -> list[dict[str, Any]]:
    """Return how each session of a transaction pooler is, as its next client finds it."""
    found: dict[int, dict[str, Any]] = {}
    clients = [psycopg.connect(_libpq(front), prepare_threshold=None) for _ in range(8)]
    for client in clients:
        # Each holds a session until its transaction ends.
        pid = client.execute("SELECT pg_backend_pid()").fetchone()
        settings = client.execute(
            "SELECT name, setting FROM pg_settings WHERE source = 'session'"
            " AND name NOT IN ('client_encoding', 'application_name')"
        ).fetchall()
        prepared = client.execute("SELECT name FROM pg_prepared_statements").fetchall()
        locks = client.execute(
            "SELECT locktype FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
        ).fetchall()
        assert pid is not None
        found[pid[0]] = {"settings": settings, "prepared": prepared, "locks": locks}
    for client in clients:
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

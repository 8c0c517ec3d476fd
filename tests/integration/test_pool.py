"""A process shares few connections among many threads, and none waits behind one that is stuck."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from tests.integration.conftest import OpenStore
from tests.servers.databases import PATIENT
from tests.servers.roles import by_owner
from tests.servers.waiting import LIMIT, eventually
from worker.store import Store, open_database

pytestmark = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)

KEPT = 3
THREADS = 20
FOR_EVER = timedelta(seconds=LIMIT)
AT_ONCE = timedelta(milliseconds=1)
PID = text("SELECT pg_backend_pid()")


def a_store(open_store: OpenStore, *, moment: timedelta) -> Store:
    timeouts = replace(PATIENT, kept=moment)
    return open_store(connections=THREADS, kept=KEPT, timeouts=timeouts)


def used_by_many_threads(store: Store) -> set[int]:
    """Return the server's processes that served them."""

    def read(_: int) -> int:
        ((pid,),) = store.database.read(PID)
        return int(pid)

    with ThreadPoolExecutor(THREADS) as threads:
        return set(threads.map(read, range(20 * THREADS)))


# Two threads that both find a place for the last one that is kept may both open one.
FEW = 2 * KEPT


def test_many_threads_share_the_connections_that_are_kept(open_store: OpenStore) -> None:
    assert len(used_by_many_threads(a_store(open_store, moment=FOR_EVER))) <= FEW


def test_a_pool_that_was_emptied_keeps_as_many(open_store: OpenStore) -> None:
    store = a_store(open_store, moment=FOR_EVER)
    first = used_by_many_threads(store)
    store.database.close()
    again = used_by_many_threads(store)
    assert len(again) <= FEW
    assert not first & again


@by_owner
def test_where_the_server_takes_no_more_a_kept_connection_is_waited_for(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred is what PostgreSQL takes unless told otherwise; others want some of them too."""
    role = f"kplus_few_{uuid.uuid4().hex[:12]}"
    with engine.begin() as connection:
        limited = f"CREATE ROLE {role} LOGIN PASSWORD '{role}' CONNECTION LIMIT {KEPT}"
        connection.execute(text(limited))
    url = engine.url.set(username=role, password=role).render_as_string(hide_password=False)
    timeouts = replace(PATIENT, kept=timedelta(seconds=1))
    store = Store(open_database(url, connections=THREADS, kept=KEPT, timeouts=timeouts))
    tries: list[object] = []
    connect: Any = vars(psycopg.Connection)["connect"]

    def counted(*args: Any, **options: Any) -> object:
        tries.append(None)
        return connect.__func__(*args, **options)

    monkeypatch.setattr(psycopg.Connection, "connect", classmethod(counted))
    try:
        with ExitStack() as stuck, ThreadPoolExecutor(1) as thread:
            for _ in range(KEPT):
                stuck.enter_context(store.database.engine.connect())
            waits = thread.submit(store.database.read, PID)
            eventually(lambda: len(tries) > KEPT)
            stuck.close()
            assert waits.result(LIMIT)
    finally:
        store.close()
        with engine.begin() as connection:
            connection.execute(text(f"DROP ROLE {role}"))


def test_nobody_waits_behind_connections_that_are_stuck(open_store: OpenStore) -> None:
    """In each a statement may wait for somebody's lock, for as long as a lock is waited for."""
    store, other = a_store(open_store, moment=AT_ONCE), open_store()
    with ExitStack() as stuck:
        pids = {
            stuck.enter_context(store.database.reading()).execute(PID).scalar_one()
            for _ in range(THREADS)
        }
        assert len(pids) == THREADS
        ((more,),) = store.database.read(PID)
        pids.add(more)

    def still_open() -> int:
        alive = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        return len({pid for (pid,) in other.database.read(alive)} & pids)

    eventually(lambda: still_open() == KEPT, saying=lambda: f"{still_open()} are open")
    assert used_by_many_threads(store)

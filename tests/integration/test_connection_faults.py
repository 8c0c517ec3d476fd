"""A fault of the connection, and not of the server: it is given up, and the next one is new."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Connection, NullPool, create_engine, make_url

from tests.integration.attempting import only_postgresql
from tests.integration.stock import order, roster
from tests.servers.databases import StoreAt
from worker.errors import StoreUnavailable
from worker.store import Status, Store

OPEN = 4
"""So many connections are in the pool when the fault comes."""
READ_ONLY = "SET default_transaction_read_only = on"
# As a pooler does between two clients: the driver does not see it.
FORGET = "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"


def filled(store: Store, statement: str) -> None:
    """Fill the pool with sessions in each of which a statement has been executed."""
    with ExitStack() as stack:
        pool = store.database.engine
        held = [stack.enter_context(closing(pool.raw_connection())) for _ in range(OPEN)]
        for each in held:
            each.driver_connection.pgconn.exec_(statement.encode())  # type: ignore[union-attr]


def refused(store: Store, *, of: int) -> int:
    """Return how many of so many orders, each in a transaction of its own, were refused."""
    count = 0
    for number in range(of):
        try:
            store.bulk.accept([order(f"B{number}")])
        except StoreUnavailable:
            count += 1
    return count


@only_postgresql
def test_a_statement_that_a_read_only_session_refuses_is_executed_by_another(
    database: str, store_at: StoreAt
) -> None:
    """That of a standby, or of a primary that has become one: nothing was executed."""
    store = store_at(connections=OPEN)
    filled(store, READ_ONLY)
    assert store.jobs.accept(order("U1"), hinted=False).status is Status.ACCEPTED
    assert store.jobs.claim("U1", lease=timedelta(seconds=60), roster=roster())


@only_postgresql
def test_one_transaction_finds_out_for_all_sessions_that_are_read_only(
    database: str, store_at: StoreAt
) -> None:
    store = store_at(connections=OPEN)
    filled(store, READ_ONLY)
    assert refused(store, of=3 * OPEN) == 1


@only_postgresql
def test_a_database_that_stays_read_only_is_asked_once_more_each_time(
    database: str, store_at: StoreAt
) -> None:
    store = store_at(connections=OPEN)
    name = make_url(database).database
    with administrator(database) as admin:
        admin.exec_driver_sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        filled(store, READ_ONLY)
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="read-only transaction"):
                store.jobs.accept(order("U1"), hinted=False)
        admin.exec_driver_sql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    assert store.jobs.accept(order("U1"), hinted=False).status is Status.ACCEPTED


@only_postgresql
def test_a_session_whose_prepared_statements_are_gone_is_given_up(
    database: str, store_at: StoreAt
) -> None:
    store = store_at(connections=1, kept=1)
    for number in range(20):  # the driver prepares a statement when it is used again and again
        store.jobs.accept(order(f"U{number}"), hinted=False)
        store.bulk.accept([order(f"B{number}")])
    with closing(store.database.engine.raw_connection()) as pooled:
        pooled.driver_connection.pgconn.exec_(FORGET.encode())  # type: ignore[union-attr]
    assert store.jobs.accept(order("U99"), hinted=False).status is Status.ACCEPTED
    with closing(store.database.engine.raw_connection()) as pooled:
        pooled.driver_connection.pgconn.exec_(FORGET.encode())  # type: ignore[union-attr]
    assert refused(store, of=5) <= 1


@contextmanager
def administrator(url: str) -> Iterator[Connection]:
    engine = create_engine(make_url(url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection

"""`session=` is the order system's own: with any driver, and whatever its session is set to."""

import asyncio
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, make_url, select, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from tests.integration.attempting import only_postgresql
from tests.servers.databases import StoreAt
from tests.servers.hostile_schema import SCHEMA, rows_of_theirs
from tests.servers.missing import unavailable
from worker.config.settings import GivenSettings
from worker.enqueue import Producer
from worker.store import Store, open_database
from worker.store.schema import migrate
from worker.store.schema.tables import JOBS, rejected_messages

DRIVERS = ("psycopg", "psycopg2", "pg8000", "asyncpg")
TEXT = "ไทย \\ ' \" é"
EXPIRY = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
SETTINGS: dict[str, dict[str, str]] = {
    "none": {},
    "times": {"datestyle": "German, DMY", "intervalstyle": "sql_standard"},
    "times in words": {"datestyle": "Postgres, DMY", "timezone": "Asia/Kathmandu"},
    "quotes": {"standard_conforming_strings": "off", "escape_string_warning": "off"},
    "LATIN1": {"client_encoding": "LATIN1"},
    "SQL_ASCII": {"client_encoding": "SQL_ASCII"},
    "WIN874": {"client_encoding": "WIN874"},
    "forms": {"bytea_output": "escape", "extra_float_digits": "-15", "array_nulls": "off"},
    "isolation": {"default_transaction_isolation": "serializable"},
    "paths": {"search_path": "theirs, public"},
}
ALL = ["accepted", "duplicate", "conflict", "duplicate", "accepted", "accepted", "conflict"]


def order(number: int, **fields: Any) -> dict[str, Any]:
    usual = {"token_id": f"T{number}", "reference1": TEXT, "expires_at": EXPIRY}
    return {"partner_txn_uid": f"U{number}", **usual, **fields}


def used(producer: Producer, session: Any) -> list[str]:
    """Return what becomes of an order of each kind, one by one and many at once."""
    one = [order(0), order(0), order(0, reference1="other")]
    many = [order(0), order(1), order(2), order(1, token_id="OTHER")]
    receipts = [producer.enqueue(each, session=session) for each in one]
    receipts += producer.enqueue_many(many, session=session)
    return [str(receipt.status) for receipt in receipts]


@pytest.fixture
def store(store_at: StoreAt) -> Store:
    return store_at()


@pytest.fixture
def producer(database: str) -> Iterator[Producer]:
    settings = GivenSettings(
        database_url=database, broker_url="redis://127.0.0.1:1/0", partner_id="P1"
    )
    producer = Producer(settings)
    yield producer
    producer.close()


def in_their_session(
    driver: str, database: str, settings: dict[str, str], use: Callable[[Any], list[str]]
) -> list[str]:
    """Do something in a transaction of a session with these settings, and let it be committed."""
    try:
        importlib.import_module(driver)
    except ImportError as reason:
        unavailable(f"the driver {driver}", reason)
    # SQLAlchemy cannot begin with psycopg where SQL_ASCII is the default: so it is set later.
    at_once = driver != "psycopg"
    if at_once:
        defaults(database, settings)
    url = make_url(database).set(drivername=f"postgresql+{driver}")
    if driver == "asyncpg":
        return asyncio.run(_asynchronously(url, use))
    engine = create_engine(url)
    with Session(engine) as session, session.begin():
        for setting, value in () if at_once else settings.items():
            session.execute(text(f"SET {setting} = {written(setting, value)}"))
        theirs = shown(session.connection(), settings)
        found = use(session)
        assert shown(session.connection(), settings) == theirs
    engine.dispose()
    return found


async def _asynchronously(url: Any, use: Callable[[Any], list[str]]) -> list[str]:
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine  # noqa: PLC0415

    engine = create_async_engine(url)
    async with AsyncSession(engine) as session, session.begin():
        with pytest.raises(TypeError, match="run_sync"):
            use(session)
        found = await session.run_sync(use)
    await engine.dispose()
    return found


def defaults(database: str, settings: dict[str, str]) -> None:
    """Let every session of the database begin with these settings."""
    name = make_url(database).database
    with plain(database) as connection:
        for setting, value in settings.items():
            given = f"SET {setting} = {written(setting, value)}"
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" {given}')


def written(setting: str, value: str) -> str:
    """Return a value as SQL has it: a path in quotes would be one name."""
    return value if setting == "search_path" else f"'{value}'"


def shown(connection: Connection, settings: dict[str, str]) -> dict[str, str]:
    found = {}
    for name in settings:
        value = connection.execute(text(f"SHOW {name}")).scalar()
        found[name] = value.decode() if isinstance(value, bytes) else str(value)
    return found


@contextmanager
def plain(database: str) -> Iterator[Connection]:
    engine = create_engine(make_url(database), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@only_postgresql
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_an_order_joins_their_transaction_whatever_their_session_is_set_to(
    database: str, store: Store, producer: Producer, driver: str, settings: str
) -> None:
    given = SETTINGS[settings]
    found = in_their_session(driver, database, given, lambda session: used(producer, session))
    assert found == ALL
    rows = store.database.read(select(JOBS.reference1, JOBS.expires_at))
    assert {tuple(row) for row in rows} == {(TEXT, EXPIRY)}
    bodies = store.database.read(select(rejected_messages.c.body))
    assert sorted("other" in row.body for row in bodies) == [False, True]
    assert all("U" in row.body for row in bodies)
    assert any(TEXT[:3] in row.body for row in bodies)


@pytest.mark.postgres
@pytest.mark.parametrize("driver", DRIVERS)
def test_the_row_is_ours_where_their_path_leads_to_a_table_of_theirs(
    hostile_database: str, tmp_path: Path, driver: str
) -> None:
    """With a schema of our own set; the session stays as it is."""
    opened = open_database(hostile_database, schema=SCHEMA)
    migrate.upgrade(opened, home=tmp_path)
    producer = Producer(
        GivenSettings(
            database_url=hostile_database,
            database_schema=SCHEMA,
            broker_url="redis://127.0.0.1:1/0",
            partner_id="P1",
        )
    )

    found = in_their_session(driver, hostile_database, {}, lambda session: used(producer, session))
    assert found == ALL
    store = Store(opened)
    assert {job["partner_txn_uid"] for job in store.reports.jobs()} == {"U0", "U1", "U2"}
    assert store.rejected_messages.counts() == {"conflict": 2}
    assert rows_of_theirs(hostile_database) == 0
    producer.close()
    store.close()


def test_a_session_that_translates_its_own_tables_finds_ours(
    database: str, store: Store, producer: Producer
) -> None:
    """As that of a program with a schema for each of its tenants."""
    engine = create_engine(
        make_url(database), execution_options={"schema_translate_map": {None: "tenant"}}
    )
    with Session(engine) as session, session.begin():
        assert used(producer, session) == ALL
    engine.dispose()
    assert store.jobs.exists("U1")


def test_a_scoped_session_is_a_session(database: str, store: Store, producer: Producer) -> None:
    """As that of Flask-SQLAlchemy."""
    engine = create_engine(make_url(database))
    scoped = scoped_session(sessionmaker(engine))
    assert used(producer, scoped) == ALL
    assert store.reports.file("U1") is None
    scoped.commit()
    scoped.remove()
    engine.dispose()
    assert store.jobs.exists("U1")


class AsyncLike:
    """A session of asyncio: its library is needed by nobody else."""


AsyncLike.__module__ = "sqlalchemy.ext.asyncio.session"


def test_what_is_no_session_is_told_with_what_to_pass(database: str, producer: Producer) -> None:
    engine = create_engine(make_url(database))
    cases = {
        "run_sync": AsyncLike(),
        "the Engine that makes one": engine,
        "the sessionmaker that makes one": sessionmaker(engine),
        "not a builtins.str": "session",
    }
    for words, wrong in cases.items():
        with pytest.raises(TypeError, match=words):
            producer.enqueue(order(0), session=wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=words):
            list(producer.enqueue_many([order(0)], session=wrong))  # type: ignore[arg-type]
    engine.dispose()


@only_postgresql
def test_a_session_on_another_kind_of_database_is_told(producer: Producer) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(TypeError, match="in your database"):
        producer.enqueue(order(0), session=connection)
    engine.dispose()

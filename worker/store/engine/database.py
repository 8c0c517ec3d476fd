"""One engine for each process, short transactions, and the clock that statements use."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    Row,
    Select,
    Table,
)
from sqlalchemy.dialects import postgresql, sqlite

from worker.store.engine.engines import READING, make_engine
from worker.store.engine.errors import translated
from worker.store.engine.postgresql import patient
from worker.store.engine.schemas import TRANSLATION, names_in
from worker.store.engine.timeouts import Timeouts

Clock = Callable[[], datetime]
AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]

TIMEOUTS = Timeouts()


class Database:
    """An engine and a clock. Each method opens at most one short transaction."""

    def __init__(
        self, engine: Engine, *, clock: Clock | None = None, schema: str | None = None
    ) -> None:
        self.engine = engine
        self._clock = clock
        self.is_sqlite = engine.dialect.name == "sqlite"
        self.names = names_in(None if self.is_sqlite else schema)
        if self.names[TRANSLATION]:
            engine.update_execution_options(**self.names)

    @property
    def times(self) -> dict[str, datetime | None]:
        """Return the parameter `now` of a statement. None means PostgreSQL's own clock."""
        if self._clock is not None:
            return {"now": self._clock()}
        return {"now": datetime.now(UTC) if self.is_sqlite else None}

    def seconds(self) -> float:
        """Return a reading of the clock for durations: monotonic, or the injected one."""
        return time.monotonic() if self._clock is None else self._clock().timestamp()

    def insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """Return an INSERT that supports ON CONFLICT, in this database's dialect."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open one short transaction. Raise `StoreUnavailable` if that fails."""
        with translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that only reads, and on SQLite blocks no writer."""
        with translated(), self.engine.connect() as connection:
            yield connection.execution_options(**READING)

    @contextmanager
    def connection(self, **settings: str) -> Iterator[Connection]:
        """Open a connection for migrations, whose transactions begin with these settings."""
        with translated(), self.engine.connect() as connection, patient(connection, **settings):
            yield connection

    def commit_without_flush(self, connection: Connection) -> None:
        """
        Let this transaction end before it is on disk: a crash of PostgreSQL may forget it.

        For what only matters for seconds. SQLite has no such choice for one transaction.
        """
        if not self.is_sqlite:
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")

    def run(self, statement: Executable, **params: object) -> list[AnyRow]:
        """Execute one statement in its own transaction; return its rows."""
        with self.writing() as connection:
            return rows_of(connection, statement, {**self.times, **params})

    def read(self, statement: Executable, **params: object) -> list[AnyRow]:
        """Execute one statement that only reads; return its rows."""
        with self.reading() as connection:
            return rows_of(connection, statement, {**self.times, **params})

    def close(self) -> None:
        """Close every connection of this process."""
        self.engine.dispose()


def rows_of(
    connection: Connection,
    statement: Executable,
    params: Mapping[str, object],
    names: Mapping[str, Any] = MappingProxyType({}),
) -> list[AnyRow]:
    """
    Execute a statement and return its rows; an empty list if it returns none.

    On a connection that is not the database's own, `names` are its `Database.names`.
    """
    result = connection.execute(statement, dict(params), execution_options=dict(names))
    return list(result) if result.returns_rows else []


def storable(text: str, length: int) -> str:
    """Return text that PostgreSQL can store: no NUL, no lone surrogate, bounded."""
    return text[:length].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def open_database(  # noqa: PLR0913 - each is a matter of its own
    url: str,
    *,
    connections: int = 5,
    kept: int | None = None,
    clock: Clock | None = None,
    timeouts: Timeouts = TIMEOUTS,
    schema: str | None = None,
) -> Database:
    """
    Return the database of a URL. It connects at first use, and at most `connections` + 2 times.

    On PostgreSQL it keeps `kept` of them, by default all; it opens more only while none of those
    comes free. With a `schema`, which is PostgreSQL's only, the tables are in it.
    Call it after a fork: an engine shared by two processes corrupts both (measured).
    Raise `StoreUnavailable` if the folder of an SQLite file cannot be made.
    """
    kept = min(connections, kept or connections)
    engine = make_engine(url, kept=kept, connections=connections, timeouts=timeouts)
    return Database(engine, clock=clock, schema=schema)

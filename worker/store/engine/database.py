"""One engine a process, the same behaviour on SQLite and PostgreSQL, and whose clock counts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    Row,
    Table,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from worker.store.engine.engines import READING, Waits, let_it_take_its_time, make_engine
from worker.store.engine.errors import translated

Clock = Callable[[], datetime]
AnyRow = Row[*tuple[Any, ...]]

WAITS = Waits()


class Database:
    """An engine, whose clock counts, and one short transaction at a time."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self.engine = engine
        self._clock = clock
        self.is_sqlite = engine.dialect.name == "sqlite"

    @property
    def times(self) -> dict[str, datetime | None]:
        """Return the bound `now` of a statement; None lets PostgreSQL's clock decide."""
        if self._clock is not None:
            return {"now": self._clock()}
        return {"now": datetime.now(UTC) if self.is_sqlite else None}

    def insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """Return an INSERT that can say ON CONFLICT, in this database's dialect."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open one short transaction. Raises `StoreUnavailable` where that fails."""
        with translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that only reads, and on SQLite blocks no writer."""
        with translated(), self.engine.connect() as connection:
            yield connection.execution_options(**READING)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a bare connection to a tool that opens its own transactions: the migrations."""
        with translated(), self.engine.connect() as connection:
            let_it_take_its_time(connection)
            yield connection

    def is_alone(self, connection: Connection, number: int) -> bool:
        """
        Keep others out of what this number stands for, to the end of the transaction.

        False where another is in; on SQLite a writer is always alone.
        """
        if self.is_sqlite:
            return True
        locked = connection.execute(select(func.pg_try_advisory_xact_lock(number)))
        return bool(locked.scalar_one())

    def run(self, statement: Executable, **params: Any) -> list[AnyRow]:
        """Execute one statement in a transaction of its own; return its rows."""
        with self.writing() as connection:
            return rows_of(connection, statement, {**self.times, **params})

    def read(self, statement: Executable, **params: Any) -> list[AnyRow]:
        """Execute one reading statement; return its rows."""
        with self.reading() as connection:
            return rows_of(connection, statement, {**self.times, **params})

    def close(self) -> None:
        """Close every connection of this process."""
        self.engine.dispose()


def rows_of(
    connection: Connection, statement: Executable, params: Mapping[str, Any]
) -> list[AnyRow]:
    """Execute and return the rows, none where the statement returns no rows."""
    result = connection.execute(statement, dict(params))
    return list(result) if result.returns_rows else []


def storable(text: str, length: int) -> str:
    """Return text that PostgreSQL can hold: no NUL, no lone surrogate, bounded."""
    return text[:length].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def open_database(
    url: str,
    *,
    connections: int = 5,
    clock: Clock | None = None,
    waits: Waits = WAITS,
) -> Database:
    """
    Return the database behind a URL; connects at first use, never here.

    Call it after a fork: an engine that crosses one corrupts both sides (measured).
    Raises `StoreUnavailable` where an SQLite file can have no folder.
    """
    engine = make_engine(url, connections=connections, waits=waits)
    return Database(engine, clock=clock)

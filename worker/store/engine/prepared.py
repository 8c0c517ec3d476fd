"""
One statement, made as cheap as possible: every job needs a few.

On PostgreSQL it is compiled once and executed on the driver's connection. As a transaction of
its own it takes one round trip; SQLAlchemy itself needs three (docs/explanation/performance.md).
Pool, dialect, types and errors are SQLAlchemy's. SQLite has no round trips to save.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Dialect, Engine, Executable, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.types import TypeEngine

from worker.errors import StoreUnavailable
from worker.forksafe import once
from worker.store.engine.connection_faults import (
    cause_of,
    is_fault_of_connection,
    was_not_executed,
)
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.errors import translated
from worker.store.engine.pool import Pool
from worker.store.engine.schemas import names_in, schema_of

if TYPE_CHECKING:
    from worker.store.engine.bounded_connection import BoundedConnection

_PLACEHOLDER = re.compile(r"%\((?P<name>\w+)\)s")
_FLOAT8 = 701
"""PostgreSQL's number of the type of a `Float` column; no other type of ours asks for it."""
Processor = Callable[[Any], Any] | None


class Prepared:
    """One statement that returns rows, with named parameters."""

    def __init__(self, database: Database, statement: Executable) -> None:
        self._database = database
        self._statement = statement

    def __call__(self, **params: object) -> list[AnyRow]:
        """
        Execute it in a transaction of its own, and return its rows.

        Raise `StoreUnavailable` if the database fails.
        """
        if self._database.is_sqlite:
            return self._database.run(self._statement, **params)
        given = {**self._database.times, **params}
        try:
            return self._execute(given)
        except StoreUnavailable as error:
            # The connection is given up, and this one is new.
            if not was_not_executed(cause_of(error)):
                raise
            return self._execute(given)

    def on(self, connection: Connection, **params: object) -> list[AnyRow]:
        """
        Execute it in the transaction of this connection instead, and return its rows.

        SQLAlchemy executes it where that matters: a caller's connection may have another driver,
        and one without a transaction begins it now.
        """
        given = {**self._database.times, **params}
        is_ours = connection.engine is self._database.engine and connection.in_transaction()
        if self._database.is_sqlite or not is_ours:
            return rows_of(connection, self._statement, given, self._database.names)
        pooled = connection.connection
        with _errors(self._database.engine, pooled, connection):
            return self._compiled.run(pooled.driver_connection, given)

    def _execute(self, given: Mapping[str, object]) -> list[AnyRow]:
        with translated(), _driver_connection(self._database.engine) as driver:
            return self._compiled.run_alone(driver, given)

    @once
    def _compiled(self) -> "_Compiled":
        return _Compiled(self._statement, self._database.engine)


class _Compiled:
    """A statement as the driver takes it, with the conversions of its parameters and rows."""

    def __init__(self, statement: Any, engine: Engine) -> None:
        dialect = engine.dialect
        compiled = statement.compile(dialect=dialect, **_written_names(engine))
        changing = _changing(compiled)
        self._sql, self._names = _numbered(*with_literals(compiled))
        self._encoders = {
            name: encode
            for name, kind in changing.items()
            if (encode := kind.dialect_impl(dialect).bind_processor(dialect))
        }
        columns = _columns(statement)
        self._read_row: Callable[[Iterable[Any]], AnyRow] = _row(columns)
        self._decoders = [
            (position, decode)
            for position, kind in enumerate(columns.values())
            if (decode := _decoder(kind, dialect))
        ]

    def run_alone(
        self, connection: "BoundedConnection", given: Mapping[str, object]
    ) -> list[AnyRow]:
        """Execute it as a transaction of its own, in one round trip."""
        if not connection.is_pooled:
            return self.run(connection, given)
        # Imported here: a program on SQLite needs no psycopg.
        from worker.store.engine.one_trip import COMMIT, execute  # noqa: PLC0415

        begin = connection.opening
        rows = execute(connection, self._sql, self._values(given), before=begin, after=[COMMIT])
        return [self._read(values) for values in rows]

    def run(self, connection: Any, given: Mapping[str, object]) -> list[AnyRow]:
        """Execute it on the driver's connection. Raise `KeyError` if a parameter is missing."""
        # As above.
        from psycopg import RawCursor  # noqa: PLC0415

        with RawCursor(connection) as cursor:
            cursor.execute(self._sql, self._values(given))
            return [self._read(values) for values in cursor.fetchall()]

    def _values(self, given: Mapping[str, object]) -> list[object]:
        bound = dict(given)
        try:
            for name, encode in self._encoders.items():
                bound[name] = encode(bound[name])
        except (TypeError, ValueError) as error:  # our bug, reported as SQLAlchemy does
            raise StatementError(str(error), None, None, error, hide_parameters=True) from error
        return [bound[name] for name in self._names]

    def _read(self, values: tuple[object, ...]) -> AnyRow:
        if self._decoders:
            decoded = list(values)
            for position, decode in self._decoders:
                decoded[position] = decode(decoded[position])
            return self._read_row(decoded)
        return self._read_row(values)


def _written_names(engine: Engine) -> dict[str, Any]:
    """Return how to compile a statement that names the schema of the engine's tables, if any."""
    schema = schema_of(engine)
    return {**names_in(schema), "render_schema_translate": True} if schema else {}


def _changing(compiled: Any) -> dict[str, TypeEngine[Any]]:
    """Return the parameters that get their value with each execution."""
    return {name: bind.type for bind, name in compiled.bind_names.items() if bind.required}


def with_literals(compiled: Any) -> tuple[str, dict[str, str]]:
    """Return a statement's text, and the SQL literal of each parameter that never changes."""
    changing = _changing(compiled)
    expanded = compiled.construct_expanded_state(dict.fromkeys(changing))
    return expanded.statement, {
        name: _literal(kind, expanded.parameters[name], compiled.dialect)
        for name, kind in _kinds(compiled, expanded).items()
        if name not in changing
    }


def _kinds(compiled: Any, expanded: Any) -> dict[str, TypeEngine[Any]]:
    """Return the types of all parameters; each value of a list is one of them."""
    lists = expanded.parameter_expansion
    return {
        each: bind.type
        for bind, name in compiled.bind_names.items()
        for each in lists.get(name, [name])
    }


def _literal(kind: TypeEngine[Any], value: object, dialect: Dialect) -> str:
    """Return a value that never changes as SQL text, so that it is not sent each time."""
    if value is None:
        return "NULL"
    write: Any = kind.dialect_impl(dialect).literal_processor(dialect)
    return str(write(value))


def _numbered(text: str, fixed: Mapping[str, str]) -> tuple[str, list[str]]:
    """
    Return a statement with PostgreSQL's own placeholders, and their names in order.

    psycopg parses its own placeholders at each execution if a text is longer than 4 096.
    """
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        name = found["name"]
        if name in fixed:
            return fixed[name]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PLACEHOLDER.sub(number, text).replace("%%", "%"), names


@contextmanager
def _driver_connection(engine: Engine) -> Iterator[Any]:
    """Open a connection of the driver, on which each statement is its own transaction."""
    with _errors(engine):
        pooled = engine.raw_connection()
    try:
        with _errors(engine, pooled):
            driver: Any = pooled.driver_connection
            # SQLAlchemy changes it when a caller asks for another isolation level.
            if not driver.autocommit:
                driver.autocommit = True
            yield driver
    finally:
        pooled.close()


@contextmanager
def _errors(
    engine: Engine,
    pooled: PoolProxiedConnection | None = None,
    connection: Connection | None = None,
) -> Iterator[None]:
    """Raise the driver's errors as SQLAlchemy does; give up connections that are lost."""
    driver = engine.dialect.loaded_dbapi
    try:
        yield
    except driver.Error as error:
        lost = pooled is None or _is_lost(engine, pooled, error)
        if lost and pooled is not None:
            cast("Pool", engine.pool).give_up(pooled, error)
            if connection is not None:
                connection.invalidate(error)
        raise DBAPIError.instance(
            None,
            None,
            error,
            driver.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=engine.dialect,
        ) from error


def _is_lost(engine: Engine, pooled: PoolProxiedConnection, error: BaseException) -> bool:
    if is_fault_of_connection(error):
        return True
    return engine.dialect.is_disconnect(error, pooled.dbapi_connection, None)  # type: ignore[arg-type]


def _row(names: Iterable[str]) -> Any:
    """Return a function that makes a named row of values, like SQLAlchemy's."""
    kind: Any = namedtuple("Row", [*names])  # type: ignore[misc]  # noqa: PYI024 -- known at run time
    return kind._make


def _columns(statement: Any) -> dict[str, TypeEngine[Any]]:
    """Return the names and types of what a statement returns."""
    if statement.is_dml:
        returned = statement.returning_column_descriptions
        return {column["name"]: column["type"] for column in returned}
    return {column.key: column.type for column in statement.selected_columns}


def _decoder(kind: TypeEngine[Any], dialect: Dialect) -> Processor:
    return kind.dialect_impl(dialect).result_processor(dialect, _FLOAT8)

"""
One statement that is a transaction of its own: what every job needs, made as cheap as it can be.

On PostgreSQL it is compiled once, and executed on the driver's connection in one round trip;
SQLAlchemy's own way compiles from its cache, and needs three (docs/explanation/performance.md).
Pool, dialect, types and errors stay SQLAlchemy's. SQLite has no round trips to save.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, Executable
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.types import TypeEngine

from worker.forksafe import once
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.errors import translated

_PLACEHOLDER = re.compile(r"%\((?P<name>\w+)\)s")
Processor = Callable[[Any], Any] | None


class Prepared:
    """One statement that returns rows, in a transaction of its own; it names its parameters."""

    def __init__(self, database: Database, statement: Executable) -> None:
        self._database = database
        self._statement = statement

    def __call__(self, **params: Any) -> list[AnyRow]:
        """Execute it; return its rows. Raises `StoreUnavailable` as everything here does."""
        if self._database.is_sqlite:
            return self._database.run(self._statement, **params)
        given = {**self._database.times, **params}
        with translated(), _lent(self._database.engine) as connection:
            return self._compiled.run(connection, given)

    def on(self, connection: Connection, **params: Any) -> list[AnyRow]:
        """Execute it in somebody's transaction instead."""
        return rows_of(connection, self._statement, {**self._database.times, **params})

    @once
    def _compiled(self) -> "_Compiled":
        return _Compiled(self._statement, self._database.engine.dialect)


class _Compiled:
    """A statement as the driver takes it, with what turns values into the driver's and back."""

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        asked = _asked(compiled)
        self._sql, self._names = _numbered(*with_literals(compiled))
        self._into = {
            name: into
            for name, kind in asked.items()
            if (into := kind.dialect_impl(dialect).bind_processor(dialect))
        }
        columns = _columns(statement)
        self._read_row: Callable[[Iterable[Any]], AnyRow] = _row(columns)
        self._out_of = [
            (position, out_of)
            for position, kind in enumerate(columns.values())
            if (out_of := _out_of(kind, dialect))
        ]

    def run(self, connection: Any, given: Mapping[str, Any]) -> list[AnyRow]:
        """Execute it on the driver's connection. Raises `KeyError` where a parameter is missing."""
        bound = dict(given)
        try:
            for name, into in self._into.items():
                bound[name] = into(bound[name])
        except (TypeError, ValueError) as error:  # a defect of ours, as SQLAlchemy has it
            raise StatementError(str(error), None, None, error, hide_parameters=True) from error
        # Not at the top: a program on SQLite needs no psycopg.
        from psycopg import RawCursor  # noqa: PLC0415

        with RawCursor(connection) as cursor:
            cursor.execute(self._sql, [bound[name] for name in self._names])
            return [self._read(values) for values in cursor.fetchall()]

    def _read(self, values: tuple[Any, ...]) -> AnyRow:
        if self._out_of:
            changed = list(values)
            for position, out_of in self._out_of:
                changed[position] = out_of(changed[position])
            return self._read_row(changed)
        return self._read_row(values)


def _asked(compiled: Any) -> dict[str, TypeEngine[Any]]:
    """Return what has no value of its own: it is given one with each execution."""
    return {name: bind.type for bind, name in compiled.bind_names.items() if bind.required}


def with_literals(compiled: Any) -> tuple[str, dict[str, str]]:
    """Return a statement's text, and what stands in it for each parameter that never changes."""
    asked = _asked(compiled)
    expanded = compiled.construct_expanded_state(dict.fromkeys(asked))
    return expanded.statement, {
        name: _literal(kind, expanded.parameters[name], compiled.dialect)
        for name, kind in _kinds(compiled, expanded).items()
        if name not in asked
    }


def _kinds(compiled: Any, expanded: Any) -> dict[str, TypeEngine[Any]]:
    """Return the types of all parameters, of each word of a list its own."""
    words = expanded.parameter_expansion
    return {
        each: bind.type
        for bind, name in compiled.bind_names.items()
        for each in words.get(name, [name])
    }


def _literal(kind: TypeEngine[Any], value: Any, dialect: Dialect) -> str:
    """Return a value that never changes as it stands in the text: nothing is sent for it."""
    if value is None:
        return "NULL"
    write: Any = kind.dialect_impl(dialect).literal_processor(dialect)
    return str(write(value))


def _numbered(text: str, fixed: Mapping[str, str]) -> tuple[str, list[str]]:
    """
    Return a statement with PostgreSQL's own placeholders, and their names in order.

    psycopg reads its own ones anew with each execution where a text is longer than 4 096.
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
def _lent(engine: Engine) -> Iterator[Any]:
    """Lend the driver's connection: outside of BEGIN and COMMIT each statement is a transaction."""
    pooled = None
    try:
        pooled = engine.raw_connection()
        driver: Any = pooled.driver_connection
        # SQLAlchemy takes it back where somebody asked for an isolation level of his own.
        if not driver.autocommit:
            driver.autocommit = True
        yield driver
    except engine.dialect.loaded_dbapi.Error as error:
        lost = pooled is None or engine.dialect.is_disconnect(error, pooled.dbapi_connection, None)
        if pooled is not None and lost:
            pooled.invalidate(error)
        raise DBAPIError.instance(
            None,
            None,
            error,
            engine.dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=engine.dialect,
        ) from error
    finally:
        if pooled is not None:
            pooled.close()


def _row(names: Iterable[str]) -> Any:
    """Return what makes a row of values; as with SQLAlchemy's, each has its name."""
    kind: Any = namedtuple("Row", [*names])  # type: ignore[misc]  # noqa: PYI024 -- known at run time
    return kind._make


def _columns(statement: Any) -> dict[str, TypeEngine[Any]]:
    """Return the names and types of what a statement returns."""
    if statement.is_dml:
        returned = statement.returning_column_descriptions
        return {column["name"]: column["type"] for column in returned}
    return {column.key: column.type for column in statement.selected_columns}


def _out_of(kind: TypeEngine[Any], dialect: Dialect) -> Processor:
    return kind.dialect_impl(dialect).result_processor(dialect, None)

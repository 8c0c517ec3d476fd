"""SQL elements that each database writes in its own way: the clock, seconds added, lists."""

from datetime import datetime
from json import dumps
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Dialect,
    FunctionElement,
    Select,
    String,
    TypeDecorator,
    bindparam,
    case,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import Float

from worker.domain.bounds import LARGEST_COUNT
from worker.store.engine.column_types import Utc
from worker.store.engine.engines import PLUS_SECONDS


class Now(FunctionElement[datetime]):
    """
    The time of a statement: the parameter `now`, or PostgreSQL's own clock if that is null.

    Workers' clocks may differ by hours, and leases must not. SQLite serves one host, so its
    clock is sent as the parameter.
    """

    type = Utc()
    inherit_cache = True

    def __init__(self) -> None:
        super().__init__(bindparam("now", type_=Utc()))


class NowPlus(FunctionElement[datetime]):
    """`Now` plus seconds, which may be negative: an expression, or the name of a parameter."""

    type = Utc()
    inherit_cache = True

    def __init__(self, seconds: str | ColumnElement[float]) -> None:
        if isinstance(seconds, str):
            seconds = bindparam(seconds, type_=Float())
        super().__init__(bindparam("now", type_=Utc()), seconds)


class Plus(FunctionElement[datetime]):
    """A stored time plus seconds."""

    type = Utc()
    inherit_cache = True

    def __init__(self, at: ColumnElement[datetime], seconds: ColumnElement[float]) -> None:
        super().__init__(at, seconds)


class Exists(FunctionElement[bool]):
    """Whether a stored time is one that Python can hold: neither `infinity` nor before Christ."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, at: ColumnElement[datetime]) -> None:
        super().__init__(at)


def one_more(count: ColumnElement[int]) -> ColumnElement[int]:
    """Return a count plus one; a count that has no room for more stays."""
    return case((count < LARGEST_COUNT, count + 1), else_=count)


class StringList(TypeDecorator[list[str]]):
    """A list of strings as one text parameter, which costs a driver less than a list."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: list[str] | None, dialect: Dialect) -> str | None:
        """Return a PostgreSQL array, or a JSON array; only their brackets differ."""
        if value is None:
            return None
        array = dumps(value, ensure_ascii=False)
        return f"{{{array[1:-1]}}}" if dialect.name == "postgresql" else array


class InList(FunctionElement[bool]):
    """Whether a column is in the list of a parameter: one text for lists of any length."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[str], name: str) -> None:
        super().__init__(column, bindparam(name, type_=StringList()))


class InQuery(FunctionElement[bool]):
    """Whether a column is in a query's rows; each of them is looked up by its key."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[str], query: Select[tuple[str]]) -> None:
        super().__init__(column, query.scalar_subquery())


def _compiled_as(kind: type[FunctionElement[Any]], *, postgresql: str, sqlite: str) -> None:
    """Define how an element is written on each database, from the texts of its parts in order."""
    for dialect, text in (("postgresql", postgresql), ("sqlite", sqlite)):

        def write(
            element: FunctionElement[Any], compiler: SQLCompiler, text: str = text, **kw: Any
        ) -> str:
            return text.format(*(compiler.process(part, **kw) for part in element.clauses))

        compiles(kind, dialect)(write)


_compiled_as(
    InList,
    postgresql="{} = ANY(CAST({} AS VARCHAR[]))",
    sqlite="{} IN (SELECT value FROM json_each({}))",
)
_compiled_as(
    Exists,
    postgresql="{} BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'",
    sqlite="{} GLOB '????-??-?? ??:??:??*'",
)
_compiled_as(InQuery, postgresql="{} = ANY(ARRAY{})", sqlite="{} IN {}")
# statement_timestamp() is stable, so PostgreSQL can use an index on the compared column.
_compiled_as(Now, postgresql="coalesce({}, statement_timestamp())", sqlite="{}")
_compiled_as(
    NowPlus,
    postgresql="(coalesce({}, statement_timestamp()) + make_interval(secs => {}))",
    sqlite=f"{PLUS_SECONDS}({{}}, {{}})",
)
_compiled_as(
    Plus,
    postgresql="({} + make_interval(secs => {}))",
    sqlite=f"{PLUS_SECONDS}({{}}, {{}})",
)

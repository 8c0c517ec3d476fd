"""SQL elements that each database writes in its own way: the clock, seconds added, lists."""

from datetime import datetime
from json import dumps
from typing import Any, Self

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Dialect,
    FunctionElement,
    Select,
    String,
    TableValuedAlias,
    TypeDecorator,
    bindparam,
    case,
    cast,
    column,
    func,
)
from sqlalchemy.dialects import postgresql
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


class Instant(FunctionElement[datetime]):
    """
    The time at which this part of a statement runs, after its row was locked; else as `Now`.

    `Now` is the time at which the statement began. Of two statements that wait for the same row
    the one that began first may come to it last: what they write in turns needs this time.
    """

    type = Utc()
    inherit_cache = True

    def __init__(self) -> None:
        super().__init__(bindparam("now", type_=Utc()))


class InstantPlus(FunctionElement[datetime]):
    """`Instant` plus seconds, which may be negative: an expression, or a parameter's name."""

    type = Utc()
    inherit_cache = True

    def __init__(self, seconds: str | ColumnElement[float]) -> None:
        if isinstance(seconds, str):
            seconds = bindparam(seconds, type_=Float())
        super().__init__(bindparam("now", type_=Utc()), seconds)


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


class Bytewise(FunctionElement[str]):
    """
    A text that is compared and sorted by its bytes, as Python and SQLite do: in one order.

    PostgreSQL sorts by the rules of the database's language: whether `a-1` is before `A1` depends
    on the installation. Equal texts are equal in each.
    """

    type = String()
    inherit_cache = True

    def __init__(self, value: ColumnElement[str]) -> None:
        super().__init__(value)


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
        """Return a PostgreSQL array, or a JSON array."""
        if value is None:
            return None
        array = dumps(value, ensure_ascii=False)
        if dialect.name != "postgresql":
            return array
        if "\\" not in array:
            return f"{{{array[1:-1]}}}"
        # PostgreSQL knows no such escapes as JSON's: its `\n` is the letter n.
        quoted = (each.replace("\\", "\\\\").replace('"', '\\"') for each in value)
        return "{" + ",".join(f'"{each}"' for each in quoted) + "}"


class InList(FunctionElement[bool]):
    """Whether a column is in the list of a parameter: one text for lists of any length."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[str], name: str) -> None:
        super().__init__(column, bindparam(name, type_=StringList()))


def rows_of_list(name: str, *, is_sqlite: bool) -> TableValuedAlias:
    """Return the strings of a parameter as rows of its name, with one column `value`."""
    given = bindparam(name, type_=StringList())
    if is_sqlite:
        return func.json_each(given).table_valued(column("value", String()), name=name)
    array = func.unnest(cast(given, postgresql.ARRAY(String())))
    return array.table_valued(column("value", String()), name=name).render_derived(name=name)


class InQuery(FunctionElement[bool]):
    """Whether a column is in a query's rows; each of them is looked up by its key."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[str], query: Select[tuple[str]]) -> None:
        super().__init__(column, query.scalar_subquery())

    def self_group(self, against: Any = None) -> Self:  # noqa: ARG002 - as the library calls it
        """Return it as it is: SQLite looks nothing up by its key for `(a IN (...)) = 1`."""
        return self


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
_compiled_as(Bytewise, postgresql='({} COLLATE "C")', sqlite="{}")
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
_compiled_as(Instant, postgresql="coalesce({}, clock_timestamp())", sqlite="{}")
_compiled_as(
    InstantPlus,
    postgresql="(coalesce({}, clock_timestamp()) + make_interval(secs => {}))",
    sqlite=f"{PLUS_SECONDS}({{}}, {{}})",
)
_compiled_as(
    Plus,
    postgresql="({} + make_interval(secs => {}))",
    sqlite=f"{PLUS_SECONDS}({{}}, {{}})",
)

"""SQL elements that each database writes in its own way: the time that counts, lists of names."""

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
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import Float

from worker.store.engine.column_types import Utc
from worker.store.engine.engines import AFTER


class Now(FunctionElement[datetime]):
    """
    The time a statement goes by: the injected one, else the database's on PostgreSQL.

    Workers' clocks may disagree by hours; leases must not. SQLite serves one host, whose
    clock is bound.
    """

    type = Utc()
    inherit_cache = True

    def __init__(self) -> None:
        super().__init__(bindparam("now", type_=Utc()))


class After(FunctionElement[datetime]):
    """`Now` plus seconds, which may be negative: an expression, or the name of a parameter."""

    type = Utc()
    inherit_cache = True

    def __init__(self, seconds: str | ColumnElement[float]) -> None:
        if isinstance(seconds, str):
            seconds = bindparam(seconds, type_=Float())
        super().__init__(bindparam("now", type_=Utc()), seconds)


class Later(FunctionElement[datetime]):
    """A stored time plus seconds."""

    type = Utc()
    inherit_cache = True

    def __init__(self, at: ColumnElement[Any], seconds: ColumnElement[float]) -> None:
        super().__init__(at, seconds)


class Names(TypeDecorator[list[str]]):
    """A list of names as one parameter: a text, which costs a driver less than a list."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: list[str] | None, dialect: Dialect) -> str | None:
        """Return the list as the database writes one: a JSON array, whose brackets may differ."""
        if value is None:
            return None
        told = dumps(value, ensure_ascii=False)
        return f"{{{told[1:-1]}}}" if dialect.name == "postgresql" else told


class OneOf(FunctionElement[bool]):
    """Whether a column is one of the names in a parameter; one text for lists of any length."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], names: str) -> None:
        super().__init__(column, bindparam(names, type_=Names()))


class OneOfThose(FunctionElement[bool]):
    """Whether a column is one of what a query returns; its rows are looked up one by one."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], those: Select[Any]) -> None:
        super().__init__(column, those.scalar_subquery())


def _written(kind: type[FunctionElement[Any]], *, postgresql: str, sqlite: str) -> None:
    """Say how an element is written on each database, from the texts of its parts in order."""
    for dialect, text in (("postgresql", postgresql), ("sqlite", sqlite)):

        def write(
            element: FunctionElement[Any], compiler: SQLCompiler, text: str = text, **kw: Any
        ) -> str:
            return text.format(*(compiler.process(part, **kw) for part in element.clauses))

        compiles(kind, dialect)(write)


_written(
    OneOf,
    postgresql="{} = ANY(CAST({} AS VARCHAR[]))",
    sqlite="{} IN (SELECT value FROM json_each({}))",
)
_written(OneOfThose, postgresql="{} = ANY(ARRAY{})", sqlite="{} IN {}")
# statement_timestamp() is stable, so that an index on the compared column is used.
_written(Now, postgresql="coalesce({}, statement_timestamp())", sqlite="{}")
_written(
    After,
    postgresql="(coalesce({}, statement_timestamp()) + make_interval(secs => {}))",
    sqlite=f"{AFTER}({{}}, {{}})",
)
_written(Later, postgresql="({} + make_interval(secs => {}))", sqlite=f"{AFTER}({{}}, {{}})")

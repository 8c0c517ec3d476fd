"""The column type for times, lists of values in SQL text, and partial indexes."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Index, TypeDecorator, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine

from worker.domain.bounds import EARLIEST, LATEST


def read_time(stored: object) -> datetime:
    """
    Return a time of SQLite as aware UTC. It never raises: SQLite stores any text as a time.

    What is no time reads as `LATEST`, or as `EARLIEST` if SQLite sorts it before all times.
    """
    try:
        at = datetime.fromisoformat(str(stored))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return EARLIEST if not isinstance(stored, str) or stored < "0" else LATEST


class _TextTime(sqlite.DATETIME):
    """SQLite's times, which are text: one that cannot be read ends no statement."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        del dialect, coltype
        return lambda stored: None if stored is None else read_time(stored)


class Utc(TypeDecorator[datetime]):
    """
    An aware UTC time, the same on both databases.

    SQLite has no time type and returns naive times (measured): they are stored and read as
    UTC. A naive time cannot be stored.

    Reading never fails: a time that Python cannot hold (`infinity`, the year 20000) reads as
    the last or the first one that it can, or with `or_none` as None.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def __init__(self, *, or_none: bool = False) -> None:
        super().__init__()
        self.or_none = or_none

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        """Return the type of this database."""
        sqlite_type: TypeEngine[datetime] = _TextTime()  # type: ignore[no-untyped-call]
        return dialect.type_descriptor(sqlite_type if dialect.name == "sqlite" else self.impl)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time as the database stores it. Raise ValueError if it is naive."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = "a time without an offset cannot be stored"
            raise ValueError(message)
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time as aware UTC."""
        del dialect
        if value is None or (self.or_none and value in _NO_TIME):
            return None
        return value if value.tzinfo is UTC else _utc(value)


_NO_TIME = frozenset({EARLIEST, LATEST})


def _utc(value: datetime) -> datetime:
    """Return the time as aware UTC; in another zone the first and last ones may not exist."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return EARLIEST if value.year == 1 else LATEST


def listed(values: Iterable[str]) -> str:
    """Return the values as SQL lists them, in their order."""
    return ", ".join(f"'{value}'" for value in values)


def partial_index(name: str, *columns: str, where: str) -> Index:
    """Return an index over the few rows that its queries need."""
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))

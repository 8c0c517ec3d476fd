"""What our columns are made of: times, lists of words, indexes over a part of the rows."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Index, TypeDecorator, text


class Utc(TypeDecorator[datetime]):
    """
    An aware UTC time, the same on both databases.

    SQLite has no time type and gives naive times back (measured): they are stored and
    read as UTC. A naive time is refused on the way in.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time as the database stores it."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = "a time without an offset cannot be stored"
            raise ValueError(message)
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the time as aware UTC."""
        if value is None:
            return None
        stored: datetime = value
        return stored.replace(tzinfo=UTC) if dialect.name == "sqlite" else stored.astimezone(UTC)


def listed(values: Iterable[str]) -> str:
    """Return the values as SQL lists them, in their order."""
    return ", ".join(f"'{value}'" for value in values)


def partial_index(name: str, *columns: str, where: str) -> Index:
    """Return an index over the few rows that matter to it: the many do not burden it."""
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))

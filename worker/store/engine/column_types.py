"""The column type for times, lists of values in SQL text, and partial indexes."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, Index, TypeDecorator, text


class Utc(TypeDecorator[datetime]):
    """
    An aware UTC time, the same on both databases.

    SQLite has no time type and returns naive times (measured): they are stored and read as
    UTC. A naive time cannot be stored.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

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
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def listed(values: Iterable[str]) -> str:
    """Return the values as SQL lists them, in their order."""
    return ", ".join(f"'{value}'" for value in values)


def partial_index(name: str, *columns: str, where: str) -> Index:
    """Return an index over the few rows that its queries need."""
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))

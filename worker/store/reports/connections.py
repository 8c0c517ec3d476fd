"""How many connections PostgreSQL lets this role have."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from worker.store.engine.database import Database

_LIMITS = text(
    """
    SELECT pg_catalog.current_setting('max_connections')::int
           - pg_catalog.current_setting('superuser_reserved_connections')::int AS server,
           NULLIF(r.rolconnlimit, -1) AS role,
           NULLIF(d.datconnlimit, -1) AS database
    FROM pg_catalog.pg_roles AS r, pg_catalog.pg_database AS d
    WHERE r.rolname = current_user AND d.datname = pg_catalog.current_database()
    """
)


@dataclass(frozen=True, slots=True)
class ConnectionLimit:
    """The lowest limit, and what sets it: `server`, `role` or `database`."""

    connections: int
    of: str


def connection_limit(database: Database) -> ConnectionLimit | None:
    """Return the lowest limit; None on SQLite, and behind a pooler, which has limits of its own."""
    if database.is_sqlite:
        return None
    with database.reading() as connection:
        driver: Any = connection.connection.driver_connection
        if driver.is_pooled:
            return None
        row = connection.execute(_LIMITS).one()
    limits = [(limit, of) for of, limit in row._mapping.items() if limit is not None]  # noqa: SLF001 - SQLAlchemy's name
    return ConnectionLimit(*min(limits)) if limits else None

"""Whether a connection pooler is before PostgreSQL, and what it shows of its mode."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from worker.errors import StoreUnavailable
from worker.store.engine.database import Database
from worker.store.engine.errors import translated

_SESSION = "SELECT pg_catalog.pg_backend_pid()"
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Pooler:
    """
    What was seen of a pooler.

    `lends` says that two clients had the same session while both were connected: that is
    transaction mode. In the other case it may be session mode, or others were quicker. `is_full`
    says that a second client got no session in time.
    """

    lends: bool
    is_full: bool
    keeps_names: bool


def pooler_of(database: Database, other: Database) -> Pooler | None:
    """
    Return what is seen with a connection of each; None where there is no pooler.

    `other` is of the same URL, and should not wait for long. Raise `StoreUnavailable`.
    """
    if database.is_sqlite:
        return None
    with translated(), database.engine.connect() as one:
        driver: Any = one.connection.driver_connection
        if not driver.is_pooled:
            return None
        keeps = driver.names is not None
        try:
            with translated(), other.engine.connect() as another:
                lends = any(_session(one) == _session(another) for _ in range(_TRIES))
        except StoreUnavailable:
            return Pooler(lends=False, is_full=True, keeps_names=keeps)
        return Pooler(lends=lends, is_full=False, keeps_names=keeps)


def _session(connection: Connection) -> object:
    """Return the number of the server's process, in a transaction that has ended by then."""
    number = connection.exec_driver_sql(_SESSION).scalar()
    connection.rollback()
    return number

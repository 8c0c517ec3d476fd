"""The supported URLs of databases and brokers. No error shows a URL."""

import re

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from worker.broker.transports import TRANSPORTS
from worker.config.sqlite_file import sqlite_file

DRIVERS = {"postgresql": "psycopg", "sqlite": "pysqlite"}
"""The databases, and the driver of each: the statements and their errors are written for it."""
_SCHEMA = re.compile(r"(?!pg_|information_schema\Z)[a-z_][a-z0-9_]{0,62}")
_OF_THE_DRIVER = frozenset(
    {
        *("prepare_threshold", "autocommit", "context", "row_factory", "cursor_factory"),
        # Other drivers', which are written for the same end.
        *("prepared_statement_cache_size", "statement_cache_size", "pgbouncer"),
    }
)
"""Options that no text can be the value of: `prepare_threshold=0` was a TypeError at connect."""
_EXAMPLES = "postgresql+psycopg://user@host/name or sqlite:////path/file.db"


def check_database_url(url: str) -> None:
    """Raise ValueError if the store cannot run on this URL; the error never shows it."""
    scheme, found, rest = url.partition("://")
    backend, _, driver = scheme.partition("+")
    ours = DRIVERS.get(backend)
    if found and backend in {"postgres", "psql", "pgsql"}:
        raise ValueError(f"KPLUS_DATABASE_URL begins with {backend}://: write {_written()}")
    if found and ours is not None and driver not in {"", ours}:
        name = f"the driver {driver}" if driver.isidentifier() else "another driver"
        raise ValueError(
            f"KPLUS_DATABASE_URL names {name}, and this program has {ours}: write"
            f" {_written(backend)} (a `session` of yours may have any driver)"
        )
    if ours is not None and "," in rest.partition("/")[0].rpartition("@")[2]:
        raise ValueError(
            "KPLUS_DATABASE_URL names several hosts before the slash: write"
            " postgresql+psycopg://user@/name?host=one:5432&host=other:5432"
        )
    if not _can_be_read(url):
        raise ValueError(
            f"KPLUS_DATABASE_URL must be an SQLAlchemy URL of PostgreSQL or SQLite, such as"
            f" {_EXAMPLES}"
        )
    if backend == "postgresql":
        _check_options(url)
    if backend == "sqlite" and sqlite_file(url) is None and ":///file:" not in url:
        raise ValueError(
            "KPLUS_DATABASE_URL must name the file of an SQLite database: sqlite:////path/file.db"
        )


def _check_options(url: str) -> None:
    """Raise ValueError at an option that the driver takes from Python alone."""
    for name in sorted(_OF_THE_DRIVER.intersection(make_url(url).query)):
        raise ValueError(
            f"KPLUS_DATABASE_URL has the option {name}: take it out; a pooler is recognised, and"
            " nothing is prepared behind one that would lose it"
        )


def _written(backend: str = "postgresql") -> str:
    begins = "sqlite:///" if backend == "sqlite" else "postgresql+psycopg://"
    return f"{begins} and the rest as it is"


def _can_be_read(url: str) -> bool:
    try:
        parts = make_url(url)
        if parts.get_backend_name() not in DRIVERS:
            return False
        parts.get_dialect()
    except (ArgumentError, ValueError):
        return False
    return True


def check_database_schema(name: str, url: str) -> None:
    """Raise ValueError if the tables cannot have a schema of this name."""
    if make_url(url).get_backend_name() == "sqlite":
        raise ValueError(
            "KPLUS_DATABASE_SCHEMA is set, and SQLite has no schemas: unset it, or set"
            " KPLUS_DATABASE_URL to a database of PostgreSQL"
        )
    if _SCHEMA.fullmatch(name) is None:
        raise ValueError(
            "KPLUS_DATABASE_SCHEMA must be a name of up to 63 small letters, digits and _, which"
            " begins with no digit and not with pg_: such as kplus"
        )


def check_broker_url(url: str) -> None:
    """Raise ValueError where the broker cannot be used; the URL is never shown."""
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme not in TRANSPORTS:
        hint = "; Redis Cluster is not supported by Celery" if "cluster" in scheme else ""
        message = f"KPLUS_BROKER_URL must begin with {', '.join(TRANSPORTS)} and ://{hint}"
        raise ValueError(message)

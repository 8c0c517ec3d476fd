"""The supported URLs of databases and brokers. No error shows a URL."""

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from worker.broker.transports import TRANSPORTS
from worker.config.sqlite_file import sqlite_file

DATABASE_BACKENDS = ("sqlite", "postgresql")


def check_database_url(url: str) -> None:
    """Raise ValueError if the store cannot run on this URL; the error never shows it."""
    try:
        parts = make_url(url)
        backend = parts.get_backend_name()
        if backend in DATABASE_BACKENDS:
            parts.get_dialect()  # raises if the driver is unknown
    except (ArgumentError, ValueError):
        backend = ""
    if backend == "sqlite" and sqlite_file(url) is None and ":///file:" not in url:
        raise ValueError(
            "KPLUS_DATABASE_URL must name the file of an SQLite database: sqlite:////path/file.db"
        )
    if backend not in DATABASE_BACKENDS:
        message = (
            "KPLUS_DATABASE_URL must be an SQLAlchemy URL of PostgreSQL or SQLite, such as "
            "postgresql+psycopg://user@host/name or sqlite:////path/file.db"
        )
        raise ValueError(message)


def check_broker_url(url: str) -> None:
    """Raise ValueError where the broker cannot be used; the URL is never shown."""
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme not in TRANSPORTS:
        hint = "; Redis Cluster is not supported by Celery" if "cluster" in scheme else ""
        message = f"KPLUS_BROKER_URL must begin with {', '.join(TRANSPORTS)} and ://{hint}"
        raise ValueError(message)

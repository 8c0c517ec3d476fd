"""The engines of SQLite and PostgreSQL, set up so that both behave the same."""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

from worker.domain.bounds import later
from worker.errors import StoreUnavailable
from worker.private import private_file, private_folder
from worker.store.engine.forks import forks
from worker.store.engine.postgresql import postgresql_engine
from worker.store.engine.timeouts import Timeouts

READING = {"reading": True}
PLUS_SECONDS = "kplus_after"
"""The SQLite function that adds seconds to a time."""


def make_engine(url: str, *, kept: int, connections: int, timeouts: Timeouts) -> Engine:
    """Return an engine of so many connections and two more; PostgreSQL's keeps `kept` of them."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, connections, timeouts.lock)
    return postgresql_engine(parsed, kept=kept, connections=connections, timeouts=timeouts)


def _sqlite(url: URL, connections: int, lock_timeout: timedelta) -> Engine:
    _make_folder(url)
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=connections,
        max_overflow=2,
        pool_timeout=lock_timeout.total_seconds(),
        connect_args={"timeout": lock_timeout.total_seconds(), "check_same_thread": False},
    )

    @event.listens_for(engine, "do_connect")
    def _make_file(*_connecting: Any) -> None:
        # SQLite makes it by the umask, and its other files by the mode of this one.
        if _has_file(url) and not Path(url.database or "").exists():
            os.close(private_file(Path(url.database or "")))

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.text_factory = _text
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.create_function(PLUS_SECONDS, 2, _plus_seconds, deterministic=True)

    # From here until it is given back it may be in a transaction.
    @event.listens_for(engine, "checkout")
    def _use(*_connection: Any) -> None:
        forks.use()

    @event.listens_for(engine, "checkin")  # codespell:ignore checkin
    def _leave(*_connection: Any) -> None:
        forks.leave()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later fails at once if another one writes,
        # whatever the timeout (measured). So writers take the lock at the start.
        reading = connection.get_execution_options().get("reading")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _text(stored: bytes) -> str:
    """
    Return a stored text. SQLite takes any bytes for one, and one row must not end a reading.

    What is no UTF-8 becomes lone surrogates, which no request and no file of ours carries.
    """
    return stored.decode("utf-8", "surrogateescape")


def _plus_seconds(stored: str | None, seconds: float | None) -> str | None:
    """
    Add seconds to a time, as SQLAlchemy stores it in SQLite.

    SQLite's own functions round to milliseconds: a lease would end too early, and a job
    would be due too late.
    """
    if stored is None or seconds is None:
        return None
    try:
        moment = later(datetime.fromisoformat(stored), timedelta(seconds=seconds))
    except (ValueError, OverflowError):  # no time, or more seconds than there are
        return stored
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _has_file(url: URL) -> bool:
    return bool(url.database) and not str(url.database).startswith((":memory:", "file:"))


def _make_folder(url: URL) -> None:
    if not _has_file(url):
        return
    folder = Path(url.database or "").parent
    try:
        private_folder(folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreUnavailable(f"the folder {folder} cannot be made: {reason}") from error

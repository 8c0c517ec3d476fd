"""The two kinds of database behind one behaviour: what each needs to be told."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DisconnectionError

from worker.errors import StoreUnavailable
from worker.net.readiness import is_readable

READING = {"reading": True}
_USED_AT = "used_at"
CONNECT_SECONDS = 5
AFTER = "kplus_after"
"""The SQLite function that adds seconds to a time."""


@dataclass(frozen=True, slots=True)
class Waits:
    """
    How long what may be waited for; all but the first on PostgreSQL only.

    A connection used within `idle` is not asked whether it still answers, unless there is
    something to be read on it. `patience` bounds the wait for a lock and for a free connection,
    `silence` how long a transaction of ours may say nothing, `statement` how long the server may
    work on one, and `answer` how long we wait for it: the longer of the two, since the server
    says what was slow.
    """

    patience: timedelta = timedelta(seconds=20)
    idle: timedelta = timedelta(seconds=1)
    silence: timedelta = timedelta(seconds=5)
    statement: timedelta = timedelta(seconds=60)
    answer: timedelta = timedelta(seconds=65)


def make_engine(url: str, *, connections: int, waits: Waits) -> Engine:
    """Return an engine; it connects at first use, never here."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, connections, waits.patience)
    return _postgresql(parsed, connections, waits)


def let_it_take_its_time(connection: Connection) -> None:
    """Lift the bound on the time of a statement: a migration of a large table takes minutes."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.connection.driver_connection.answer_within = None  # type: ignore[union-attr]
        connection.commit()


def _sqlite(url: URL, connections: int, patience: timedelta) -> Engine:
    _make_folder(url)
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=connections,
        max_overflow=2,
        pool_timeout=patience.total_seconds(),
        connect_args={"timeout": patience.total_seconds(), "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.create_function(AFTER, 2, _after, deterministic=True)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later fails at once where another
        # writes, whatever the timeout (measured); so writers take the lock at the start.
        reading = connection.get_execution_options().get("reading")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _after(stored: str | None, seconds: float | None) -> str | None:
    """
    Add seconds to a time, as SQLAlchemy stores it in SQLite.

    SQLite's own functions round to milliseconds: a lease would end too soon, a job be due
    too late.
    """
    if stored is None or seconds is None:
        return None
    moment = datetime.fromisoformat(stored) + timedelta(seconds=seconds)
    return moment.isoformat(sep=" ", timespec="microseconds")


def _make_folder(url: URL) -> None:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"the folder {folder} cannot be made: {error.strerror}") from error


def _postgresql(url: URL, connections: int, waits: Waits) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    milliseconds = _milliseconds(waits.patience)
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=connections,
        max_overflow=2,
        pool_timeout=waits.patience.total_seconds(),
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "kplus-cancel",
            # A network that swallows what we send must not hold a worker for a quarter of an
            # hour, which is how long Linux would go on trying.
            "tcp_user_timeout": milliseconds,
            "keepalives_idle": CONNECT_SECONDS,
            "keepalives_interval": CONNECT_SECONDS,
            "keepalives_count": 3,
        },
    )

    # Not at the top: a program on SQLite needs no psycopg.
    from worker.store.engine.bounded_connection import BoundedConnection  # noqa: PLC0415

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, args: Any, options: Any) -> BoundedConnection:
        connection = BoundedConnection.connect(*args, **options)
        connection.answer_within = waits.answer
        return connection

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # Not a start-up option: those do not pass every connection pooler.
        connection.execute(f"SET lock_timeout = {milliseconds}")
        connection.execute(f"SET statement_timeout = {_milliseconds(waits.statement)}")
        # A worker that stops in the middle of a transaction, or whose machine is gone, holds its
        # locks for as long as PostgreSQL believes in it: two hours by default. The partner's row
        # is one of them, and every other worker waits for it (measured: a full standstill).
        silence = _milliseconds(waits.silence)
        connection.execute(f"SET idle_in_transaction_session_timeout = {silence}")
        connection.commit()
        # From here on transactions are begun by the event below, or are one statement (`AtOnce`).
        connection.autocommit = True

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN")

    @event.listens_for(engine, "checkin")  # codespell:ignore checkin
    def _note(_connection: Any, record: Any) -> None:
        record.info[_USED_AT] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _look(connection: Any, record: Any, _proxy: Any) -> None:
        # SQLAlchemy's own `pool_pre_ping` asks each time: a round trip for every statement.
        used_at = record.info.get(_USED_AT)
        if used_at is None:
            return
        # Readable means that the server has sent something since, or closed the connection.
        idle = time.monotonic() - used_at >= waits.idle.total_seconds()
        if (idle or is_readable(connection.fileno())) and not _answers(engine, connection):
            raise DisconnectionError

    return engine


def _answers(engine: Engine, connection: Any) -> bool:
    try:
        return engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error:
        return False


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)

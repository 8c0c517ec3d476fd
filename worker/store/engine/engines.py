"""The engines of SQLite and PostgreSQL, set up so that both behave the same."""

import os
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DisconnectionError

from worker.domain.bounds import later
from worker.errors import StoreUnavailable
from worker.net.readiness import is_readable
from worker.private import private_file, private_folder
from worker.store.engine.forks import forks
from worker.store.engine.pool import Pool

READING = {"reading": True}
_USED_AT = "used_at"
CONNECT_SECONDS = 5
PLUS_SECONDS = "kplus_after"
"""The SQLite function that adds seconds to a time."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """
    The longest waits; all but `lock` are PostgreSQL's only.

    - `lock`: for a lock, and for a connection where the pool may open no other one.
    - `kept`: for one of the connections that the pool keeps; then it opens another one.
    - `trusted`: a connection that was used within this time is not tested before its next
      use, unless data from the server is waiting on it.
    - `idle_in_transaction`: between two statements of our own transaction.
    - `statement`: how long the server may work on one statement.
    - `answer`: how long we wait for that. It is the longer of the two, so that the server can
      report what was slow.
    """

    lock: timedelta = timedelta(seconds=20)
    kept: timedelta = timedelta(seconds=0.1)
    trusted: timedelta = timedelta(seconds=1)
    idle_in_transaction: timedelta = timedelta(seconds=5)
    statement: timedelta = timedelta(seconds=60)
    answer: timedelta = timedelta(seconds=65)


def make_engine(url: str, *, kept: int, connections: int, timeouts: Timeouts) -> Engine:
    """Return an engine of so many connections and two more; PostgreSQL's keeps `kept` of them."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, connections, timeouts.lock)
    return _postgresql(parsed, kept, connections, timeouts)


def lift_statement_timeout(connection: Connection) -> None:
    """Let statements run without a limit: a migration of a large table takes minutes."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_WITHOUT_LIMIT)
        connection.connection.driver_connection.answer_timeout = None  # type: ignore[union-attr]
        connection.commit()


_WITHOUT_LIMIT = (
    "SELECT set_config(name, '0', false) FROM pg_settings"
    " WHERE name IN ('statement_timeout', 'transaction_timeout')"
)
"""PostgreSQL knows the second one since version 17; a role or a database may have set it."""


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


def _postgresql(url: URL, kept: int, connections: int, timeouts: Timeouts) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    milliseconds = _milliseconds(timeouts.lock)
    engine = create_engine(
        url,
        hide_parameters=True,
        poolclass=Pool,
        pool_size=kept,
        max_overflow=connections + 2 - kept,
        pool_timeout=timeouts.lock.total_seconds(),
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "kplus-cancel",
            # Without this, Linux sends again for a quarter of an hour when a network drops
            # what we send, and a worker waits for as long.
            "tcp_user_timeout": milliseconds,
            "keepalives_idle": CONNECT_SECONDS,
            "keepalives_interval": CONNECT_SECONDS,
            "keepalives_count": 3,
        },
    )
    cast("Pool", engine.pool).moment = timeouts.kept

    # Imported here: a program on SQLite needs no psycopg.
    from worker.store.engine.bounded_connection import BoundedConnection  # noqa: PLC0415
    from worker.store.engine.time_loader import TimeLoader  # noqa: PLC0415

    prepare = _session(timeouts)

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, args: Any, options: Any) -> BoundedConnection:
        connection = BoundedConnection.connect(*args, **options)
        connection.answer_timeout = timeouts.answer
        connection.adapters.register_loader("timestamptz", TimeLoader)
        # From here on the event below begins each transaction, or it is one statement (`Prepared`).
        connection.autocommit = True
        # Here, and not at the event `connect`: SQLAlchemy asks for the version before that.
        connection.execute(prepare)
        return connection

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN")

    @event.listens_for(engine, "checkin")  # codespell:ignore checkin
    def _remember_use(_connection: Any, record: Any) -> None:
        record.info[_USED_AT] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _test(connection: Any, record: Any, _proxy: Any) -> None:
        # SQLAlchemy's own `pool_pre_ping` tests each time: a round trip for every statement.
        used_at = record.info.get(_USED_AT)
        if used_at is None:
            return
        # Readable means that the server has sent something since, or closed the connection.
        is_idle = time.monotonic() - used_at >= timeouts.trusted.total_seconds()
        if (is_idle or is_readable(connection.fileno())) and not _answers(engine, connection):
            raise DisconnectionError

    return engine


def _session(timeouts: Timeouts) -> str:
    """
    Return what each session begins with: a role's or a database's own defaults do not count.

    As statements, since not every connection pooler passes start-up options on; and as one text,
    since each costs a round trip. What the defaults may say is no matter of taste: with any of
    these changed a statement of ours fails, waits, or means something else.
    """
    settings = {
        # Each statement must see what others have committed: the guards of claim and settle
        # expect it. Under `serializable` a settlement fails because of a neighbour's.
        "default_transaction_isolation": "'read committed'",
        "default_transaction_deferrable": "off",
        "lock_timeout": _milliseconds(timeouts.lock),
        "statement_timeout": _milliseconds(timeouts.statement),
        # A worker that stops in the middle of a transaction, or whose machine is gone, keeps its
        # locks until PostgreSQL notices: two hours by default. The partner's row may be one of
        # them, and every other worker waits for it (measured: all workers stood still).
        "idle_in_transaction_session_timeout": _milliseconds(timeouts.idle_in_transaction),
        # The driver reads one form of times and of text, and our SQL is written for one of quotes.
        "timezone": "'UTC'",
        "datestyle": "'ISO, MDY'",
        "intervalstyle": "'postgres'",
        "client_encoding": "'UTF8'",
        "standard_conforming_strings": "on",
        # Compiling costs more than any of our statements takes.
        "jit": "off",
    }
    given = "; ".join(f"SET {name} = {value}" for name, value in settings.items())
    return f"{given}; {_DURABLE}"


_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)
"""
A claim that a crash of the server undoes would be sent twice, and an order accepted would be lost.

Any setting but `off` stays: some wait for a standby as well.
"""


def _answers(engine: Engine, connection: Any) -> bool:
    try:
        return engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error:
        return False


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)

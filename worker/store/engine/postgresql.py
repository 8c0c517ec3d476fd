"""The engine of PostgreSQL."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import DisconnectionError

from worker.errors import StoreUnreachable, StoreUnsuitable
from worker.net.readiness import is_readable
from worker.store.engine.connection_faults import is_fault_of_connection
from worker.store.engine.pool import Pool
from worker.store.engine.session_settings import milliseconds, only, settings_of
from worker.store.engine.timeouts import Timeouts
from worker.store.engine.url_options import check_options

if TYPE_CHECKING:
    from worker.store.engine.bounded_connection import BoundedConnection

CONNECT_SECONDS = 5
ENCODING = "UTF8"
"""The encoding of the server, and of what is sent: an order may have any text."""
WRITABLE = "read-write"
_AT_BEGIN = "at_begin"
"""The execution option of a connection: statements with which each of its transactions begins."""
_STATEMENT_POOLING = "statement pooling"
"""PgBouncer's words, which it has in no other language."""
_USED_AT = "used_at"


def postgresql_engine(url: URL, *, kept: int, connections: int, timeouts: Timeouts) -> Engine:
    """Return an engine of so many connections and two more, of which it keeps `kept`."""
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(
        url,
        hide_parameters=True,
        # We have none, and it asks for it in a transaction of the driver's, without our settings.
        use_native_hstore=False,
        poolclass=Pool,
        pool_size=kept,
        max_overflow=connections + 2 - kept,
        pool_timeout=timeouts.lock.total_seconds(),
        connect_args={**_lines(timeouts), **_choice(url)},
    )
    cast("Pool", engine.pool).moment = timeouts.kept
    _connect_by(engine, timeouts)
    _test_before_use(engine, timeouts)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") != "AUTOCOMMIT":
            # In one text, so in one round trip.
            opening = (*_driver(connection).opening, *options.get(_AT_BEGIN, ()))
            connection.exec_driver_sql("; ".join(opening))

    @event.listens_for(engine, "handle_error")
    def _give_up(context: ExceptionContext) -> None:
        # SQLAlchemy then gives it up, and at their next use all that are as old.
        if is_fault_of_connection(context.original_exception):
            context.is_disconnect = True

    return engine


@contextmanager
def patient(connection: Connection, **settings: str) -> Iterator[None]:
    """
    Let statements run without a limit in the block, as those of a migration do.

    From here on each transaction of this connection begins with these settings too.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    begin_with(connection, only({"statement_timeout": "0", **settings}))
    driver = _driver(connection)
    limit, driver.answer_timeout = driver.answer_timeout, None
    try:
        yield
    finally:
        driver.answer_timeout = limit


def begin_with(connection: Connection, statement: str) -> None:
    """Let each transaction of this connection begin with this statement, until it is closed."""
    given = connection.get_execution_options().get(_AT_BEGIN, ())
    connection.execution_options(**{_AT_BEGIN: (*given, statement)})


def _driver(connection: Connection) -> "BoundedConnection":
    return cast("BoundedConnection", connection.connection.driver_connection)


def _lines(timeouts: Timeouts) -> dict[str, object]:
    return {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "kplus-cancel",
        "client_encoding": ENCODING,
        # Without this, Linux sends again for a quarter of an hour when a network drops
        # what we send, and a worker waits for as long.
        "tcp_user_timeout": milliseconds(timeouts.lock),
        "keepalives_idle": CONNECT_SECONDS,
        "keepalives_interval": CONNECT_SECONDS,
        "keepalives_count": 3,
    }


def _choice(url: URL) -> dict[str, object]:
    """
    Return how one of several servers is chosen: that which can be written, if the URL is silent.

    While the primary is away, libpq would take its standby, which refuses whatever we write.
    """
    hosts = ",".join([url.host or "", *_given(url, "host")])
    is_silent = not _given(url, "target_session_attrs")
    return {"target_session_attrs": WRITABLE} if "," in hosts.strip(",") and is_silent else {}


def _given(url: URL, name: str) -> tuple[str, ...]:
    value = url.query.get(name, ())
    return (value,) if isinstance(value, str) else tuple(value)


def _connect_by(engine: Engine, timeouts: Timeouts) -> None:
    # Imported here: a program on SQLite needs no psycopg.
    from psycopg import Error  # noqa: PLC0415

    from worker.store.engine.bounded_connection import BoundedConnection  # noqa: PLC0415
    from worker.store.engine.time_loader import TimeLoader  # noqa: PLC0415

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, args: Any, options: Any) -> BoundedConnection:
        check_options(engine.url)
        try:
            connection = BoundedConnection.connect(*args, **options)
        except Error as error:
            first_line = str(error).strip().partition("\n")[0]
            message = f"the database cannot be used: {first_line or type(error).__name__}"
            raise StoreUnreachable(message) from error
        try:
            _check_encoding(connection, options.get("dbname"))
            connection.answer_timeout = timeouts.answer
            connection.adapters.register_loader("timestamptz", TimeLoader)
            # From here on `begin` begins each transaction, or it is one statement (`Prepared`).
            connection.autocommit = True
            # Here, and not at the event `connect`: SQLAlchemy asks for the version before that.
            version = connection.info.server_version
            connection.prepare_session(settings_of(timeouts, server_version=version))
        except BaseException as error:
            connection.close()
            _refuse_statement_pooling(error)
            raise
        return connection


def _refuse_statement_pooling(error: BaseException) -> None:
    """Raise `StoreUnsuitable` if a pooler has said that it knows no transactions."""
    if _STATEMENT_POOLING in str(error):
        raise StoreUnsuitable(
            "the pooler before the database lends its sessions for one statement, and we need"
            " transactions",
            "write `pool_mode = transaction` (or `session`) for this database in pgbouncer.ini",
        ) from error


def _check_encoding(connection: Any, name: object) -> None:
    """Raise `StoreUnsuitable` if the database cannot store every text. It asks nothing."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding in (None, ENCODING):
        return
    raise StoreUnsuitable(
        f"the database {name or connection.info.user} has the encoding {encoding}, and orders have"
        f" texts that only {ENCODING} can store",
        "make one (`CREATE DATABASE kplus TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'`), name it"
        " in KPLUS_DATABASE_URL, and run `kplus-cancel db upgrade`; `pg_dump` and `pg_restore` take"
        " our tables along",
    )


def _test_before_use(engine: Engine, timeouts: Timeouts) -> None:
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


def _answers(engine: Engine, connection: Any) -> bool:
    try:
        return engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error:
        return False

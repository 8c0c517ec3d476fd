"""The database is away, locked, or not ours: one error that says what to do, and no values."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    ANSWERED,
    CANCELLED,
    SILENT,
    accept,
    claim,
    claimed,
    execute,
    hint,
    order,
    row,
    settle,
)
from tests.servers.databases import PATIENT
from tests.servers.roles import by_owner
from tests.survival.proxy import Proxy
from worker.errors import StoreUnavailable
from worker.store import Database, JobFilter, RejectedMessage, Store, open_database
from worker.store.engine.bounded_connection import BoundedConnection
from worker.store.schema.tables import cancel_jobs

SHORT = timedelta(milliseconds=50)
USES: list[Callable[[Store], object]] = [
    lambda store: store.jobs.accept(order("U-canary"), hinted=True),
    lambda store: claim(store, "U-canary"),
    lambda store: store.backlog.dead(most=1),
    lambda store: store.backlog.exhaust(most=1, inquirers=[]),
    hint,
    lambda store: store.reports.stats(),
    lambda store: store.reports.file("U-canary"),
    lambda store: store.reports.jobs(JobFilter(partner_id="U-canary")),
    lambda store: store.rejected_messages.keep(RejectedMessage("U-canary", "U-canary", "U-canary")),
    lambda store: store.actions.pause_partner("U-canary", who="U-canary", reason="U-canary"),
    lambda store: store.partners.all(),
]
only_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


@contextmanager
def a_lock_on_the_job(engine: Engine) -> Iterator[None]:
    """Hold what a writer of the job needs."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE cancel_jobs SET token_status = 'locked'"))
        yield
        connection.rollback()


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("use", USES)
def test_a_database_without_our_tables_is_named_with_its_remedy(
    empty_database: str, use: Callable[[Store], object]
) -> None:
    store = Store(open_database(empty_database))
    try:
        with pytest.raises(StoreUnavailable, match="run `kplus-cancel db upgrade`") as found:
            use(store)
        assert not any("U-canary" in str(error) for error in chain(found.value))
    finally:
        store.close()


def test_a_database_of_an_older_version_is_named_with_its_remedy(empty_database: str) -> None:
    store = Store(open_database(empty_database))
    try:
        execute(store, "CREATE TABLE cancel_jobs (partner_txn_uid text, state text)")
        with pytest.raises(StoreUnavailable, match="run `kplus-cancel db upgrade`"):
            claim(store)
    finally:
        store.close()


@only_postgresql
def test_a_database_that_does_not_exist_is_not_said_to_lack_our_tables(engine: Engine) -> None:
    url = engine.url.set(database="nowhere").render_as_string(hide_password=False)
    store = Store(open_database(url))
    with pytest.raises(StoreUnavailable, match='database "nowhere" does not exist') as found:
        store.reports.stats()
    assert "db upgrade" not in str(found.value)


@only_postgresql
def test_a_server_that_is_not_there_is_unavailable(engine: Engine) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = engine.url.set(port=free.getsockname()[1], password="canary-password")
    store = Store(open_database(url.render_as_string(hide_password=False)))
    with pytest.raises(StoreUnavailable, match="cannot be used") as found:
        store.reports.stats()
    assert not any("canary-password" in str(error) for error in chain(found.value))


def test_a_file_where_a_folder_should_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        open_database(f"sqlite:///{tmp_path}/file/store.db")


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("something else entirely\n" * 99)
    store = Store(open_database(f"sqlite:///{tmp_path}/store.db"))
    with pytest.raises(StoreUnavailable, match="not a database"):
        store.reports.stats()


def test_a_job_that_is_locked_for_too_long_is_unavailable(open_store: OpenStore) -> None:
    store, other = open_store(timeouts=replace(PATIENT, lock=SHORT)), open_store()
    accept(other, "U1")
    with (
        a_lock_on_the_job(other.database.engine),
        pytest.raises(StoreUnavailable, match=r"cannot be used: .*lock"),
    ):
        claim(store)
    assert claim(store)


@only_postgresql
def test_a_worker_that_stops_in_a_transaction_holds_its_locks_for_a_moment_only(
    open_store: OpenStore,
) -> None:
    """PostgreSQL would believe in a machine that is gone for two hours, and all others wait."""
    stopped, store = (
        open_store(timeouts=replace(PATIENT, idle_in_transaction=timedelta(milliseconds=200))),
        open_store(),
    )
    accept(store, "U1")
    with (
        pytest.raises(DBAPIError, match="idle-in-transaction"),
        a_lock_on_the_job(stopped.database.engine),
    ):
        assert claim(store)
    assert row(store)["state"] == "in_flight"


@pytest.fixture
def line(engine: Engine) -> Iterator[Proxy]:
    """A line to the database that can go deaf."""
    with Proxy(engine.url.port or 5432) as proxy:
        yield proxy


@pytest.fixture
def far(engine: Engine, line: Proxy) -> Iterator[Database]:
    """The database at the other end of the line; whether a connection answers is always asked."""
    url = engine.url.set(host="127.0.0.1", port=line.port).render_as_string(hide_password=False)
    database = open_database(url, timeouts=replace(PATIENT, trusted=timedelta(0)))
    yield database
    database.close()


def driver_of(connection: Connection) -> BoundedConnection:
    """Return the driver's connection: how long it waits for an answer can be set."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, BoundedConnection)
    return driver


@only_postgresql
def test_a_server_that_takes_a_statement_and_never_answers_is_unavailable(
    far: Database, line: Proxy
) -> None:
    """TCP believes in such a line, and a thread would wait on it for ever."""

    def use() -> None:
        with far.reading() as connection:
            connection.execute(text("SELECT 1"))
            line.orphan()
            driver_of(connection).answer_timeout = SHORT
            connection.execute(text("SELECT 1"))

    with pytest.raises(StoreUnavailable, match="took a statement and did not answer within"):
        use()


@only_postgresql
def test_a_line_that_went_deaf_while_nobody_used_it_is_replaced(far: Database, line: Proxy) -> None:
    store = Store(far)
    with far.reading() as connection:
        connection.execute(text("SELECT 1"))
        kept = driver_of(connection)
    line.orphan()
    kept.answer_timeout = SHORT
    assert store.reports.stats().due == 0


@only_postgresql
def test_a_statement_that_takes_too_long_is_ended_by_the_server(
    open_store: OpenStore,
) -> None:
    """Given up on this side alone, it would go on over there."""
    database = open_store(timeouts=replace(PATIENT, statement=SHORT)).database
    with pytest.raises(StoreUnavailable, match="statement timeout"), database.reading() as hasty:
        hasty.execute(text("SELECT pg_sleep(60)"))


@only_postgresql
def test_a_migration_takes_as_long_as_it_takes(open_store: OpenStore) -> None:
    brief = timedelta(seconds=1)
    database = open_store(timeouts=replace(PATIENT, statement=brief, answer=brief)).database
    with database.connection() as patient:
        assert patient.execute(text("SELECT pg_sleep(1.2)")).all()


def test_a_settlement_that_waits_for_too_long_leaves_nothing_half_written(
    open_store: OpenStore,
) -> None:
    store, other = open_store(timeouts=replace(PATIENT, lock=SHORT)), open_store()
    accept(other, "U1")
    mine = claimed(other)
    before = other.reports.file("U1")
    with a_lock_on_the_job(other.database.engine), pytest.raises(StoreUnavailable):
        settle(store, mine, CANCELLED, ANSWERED)
    assert other.reports.file("U1") == before
    assert settle(store, mine, CANCELLED, ANSWERED)


def test_reports_wait_for_no_writer(open_store: OpenStore) -> None:
    store, other = open_store(timeouts=replace(PATIENT, lock=SHORT)), open_store()
    accept(other, "U1")
    with a_lock_on_the_job(other.database.engine):
        assert store.reports.stats().states["pending"] == 1
        assert row(store)["token_status"] is None
        assert store.backlog.dead(most=1) == []


def test_no_writer_waits_for_a_report(open_store: OpenStore) -> None:
    store, other = open_store(timeouts=replace(PATIENT, lock=SHORT)), open_store()
    accept(other, "U1")
    with other.database.reading() as connection:
        connection.execute(cancel_jobs.select()).all()
        assert claim(store)


@by_owner
def test_a_process_out_of_connections_is_unavailable(open_store: OpenStore) -> None:
    store = open_store(connections=1, timeouts=replace(PATIENT, lock=SHORT))
    held = [store.database.engine.connect() for _ in range(3)]
    with pytest.raises(StoreUnavailable, match="QueuePool limit"):
        store.reports.stats()
    for connection in held:
        connection.close()
    assert store.reports.stats().due == 0


@only_postgresql
def test_a_connection_that_was_ended_while_idle_is_replaced(open_store: OpenStore) -> None:
    store, other = open_store(connections=1), open_store()
    accept(store, "U1")
    execute(
        other,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert claim(store)


@only_postgresql
def test_a_connection_that_ends_in_a_transaction_is_unavailable_and_leaves_nothing(
    open_store: OpenStore,
) -> None:
    store, other = open_store(connections=1), open_store()

    def be_cut_off() -> None:
        with store.database.writing() as connection:
            store.jobs.accept(order(), hinted=False, connection=connection)
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            execute(other, "SELECT pg_terminate_backend(:pid, 5000)", pid=pid)
            store.jobs.accept(order("U2"), hinted=False, connection=connection)

    with pytest.raises(StoreUnavailable, match="cannot be used"):
        be_cut_off()
    assert store.reports.stats().due == 0


def test_a_broken_rule_of_the_tables_is_a_defect_and_not_an_outage(store: Store) -> None:
    """Waiting for it to pass, as for an outage, would hide it for ever."""
    accept(store, "U1")
    with pytest.raises(IntegrityError), store.database.writing() as connection:
        connection.execute(text("UPDATE cancel_jobs SET state = 'in_flight'"))


def test_a_wrong_argument_is_a_defect_and_not_an_outage(store: Store) -> None:
    naive = datetime(2026, 3, 1)  # noqa: DTZ001 - that is the defect
    with pytest.raises(StatementError, match="without an offset"):
        store.jobs.accept(order(expires_at=naive), hinted=False)


def test_a_defect_shows_no_values(store: Store) -> None:
    accept(store, "U-canary")
    mine = claimed(store, "U-canary")
    settle(store, mine, SILENT)
    with pytest.raises(IntegrityError) as found, store.database.writing() as connection:
        store.jobs._attempts.keep(connection, mine, SILENT, ANSWERED)  # noqa: SLF001 - a second row
    assert not any("U-canary" in str(error) for error in chain(found.value))


def test_many_processes_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/store.db"

    def open_it(_: int) -> int:
        database = open_database(url)
        with database.writing() as connection:
            number: int = connection.execute(text("SELECT 1")).scalar_one()
        database.close()
        return number

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(open_it, range(16))) == [1] * 16


def test_a_url_keeps_its_password_to_itself() -> None:
    url = "postgresql://user:canary-password@127.0.0.1:1/x"
    assert "canary-password" not in str(open_database(url).engine)
    assert make_url(url).render_as_string() == "postgresql://user:***@127.0.0.1:1/x"


@only_postgresql
@pytest.mark.parametrize(
    ("option", "says"), [("sslmod", "did you mean sslmode?"), ("hidden", "take it out")]
)
def test_an_option_that_nobody_knows_is_told_without_its_name(
    engine: Engine, option: str, says: str
) -> None:
    """It may be the rest of a password."""
    url = engine.url.update_query_dict({option: "canary-1"})
    store = Store(open_database(url.render_as_string(hide_password=False)))
    with pytest.raises(StoreUnavailable, match="has an option that PostgreSQL's client") as told:
        store.jobs.accept(order("U1"), hinted=False)
    assert says in str(told.value)
    assert "hidden" not in str(told.value)
    assert "canary-1" not in str(told.value)

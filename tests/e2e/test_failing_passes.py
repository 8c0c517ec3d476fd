"""A worker that runs, and whose every pass fails: it says so, whatever the reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from tests.e2e.producers import order, send
from tests.integration.attempting import only_postgresql
from tests.servers.health import Health
from tests.servers.waiting import eventually
from tests.servers.workers import StartWorker
from tests.survival.proxy import Proxy
from worker.doctor.finding import Finding
from worker.process.heartbeat import read_heartbeats
from worker.process.watchdog import EXIT_CODE
from worker.store import Store

STALL_SECONDS = 8
HASTE = {
    "KPLUS_DEADLINE_SECONDS": "2",
    "KPLUS_LEASE_SECONDS": "4",
    "KPLUS_STALL_SECONDS": str(STALL_SECONDS),
}
STALLED = '"worker_stalled"'
FAILS = "does not move: no pass of the sweep has succeeded"


def said(found: list[Finding]) -> str:
    """Return the words of a health check, with the remedies."""
    return " ".join(f"{each.text} {each.remedy}" for each in found)


@contextmanager
def administrator(url: str) -> Iterator[Connection]:
    engine = create_engine(make_url(url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def test_a_worker_whose_tables_are_gone_ends_in_order(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    store: Store,
    health: Health,
) -> None:
    environment = worker_env | HASTE
    worker = worker_process(environment)
    eventually(lambda: read_heartbeats(Path(environment["KPLUS_HOME"])))
    rename(store, "partners", "elsewhere")
    eventually(lambda: FAILS in said(health(environment)), saying=worker.told)
    assert "the database lacks our tables" in said(health(environment))
    assert "run `kplus-cancel doctor`" in said(health(environment))
    assert worker.wait() == EXIT_CODE
    told = worker.told()
    assert STALLED in told
    assert '"worker_stopped"' in told, "calls under way were let end"
    rename(store, "elsewhere", "partners")
    worker_process(environment)
    send(broker_url, [order("UID1", "ok-1")])
    eventually(lambda: store.reports.stats().states["succeeded"] == 1)


def rename(store: Store, one: str, other: str) -> None:
    with store.database.writing() as connection:
        connection.execute(text(f"ALTER TABLE {one} RENAME TO {other}"))


@only_postgresql
def test_a_worker_whose_database_is_read_only_ends_in_order(
    worker_env: dict[str, str], worker_process: StartWorker, store: Store, health: Health
) -> None:
    """As at a standby that nobody promotes; when it can be written, a new one goes on."""
    environment = worker_env | HASTE
    worker = worker_process(environment)
    store.close()
    url = worker_env["KPLUS_DATABASE_URL"]
    name = make_url(url).database
    with administrator(url) as admin:
        admin.exec_driver_sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        admin.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        eventually(lambda: FAILS in said(health(environment)), saying=worker.told)
        assert "read-only transaction" in said(health(environment))
        assert worker.wait() == EXIT_CODE
        assert STALLED in worker.told()


@only_postgresql
def test_a_worker_whose_database_is_away_says_so_and_goes_on_when_it_is_back(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    store: Store,
    health: Health,
) -> None:
    """Ended, it could not start again before, and its supervisor waits longer and longer."""
    url = make_url(worker_env["KPLUS_DATABASE_URL"])
    with Proxy(url.port or 5432) as line:
        far = url.set(host="127.0.0.1", port=line.port).render_as_string(hide_password=False)
        environment = worker_env | HASTE | {"KPLUS_DATABASE_URL": far}
        worker = worker_process(environment)
        line.down()
        eventually(lambda: FAILS in said(health(environment)), saying=worker.told)
        eventually(lambda: STALLED in worker.told(), saying=worker.told)
        assert '"ends":false' in worker.told().replace(" ", "")
        line.up()
        send(broker_url, [order("UID1", "ok-1")])
        eventually(lambda: store.reports.stats().states["succeeded"] == 1, saying=worker.told)
        eventually(lambda: "moves" in said(health(environment)), saying=worker.told)
        assert worker.stop() == 0

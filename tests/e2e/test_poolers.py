"""Whole processes behind PgBouncer, in both of its modes."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from tests.e2e.producers import order, send
from tests.e2e.test_log_of_a_worker import lines
from tests.integration.attempting import only_postgresql
from tests.servers.poolers import SESSION, TRANSACTION, MakePooler
from tests.servers.schema import downgrade
from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import COMMAND, PARTNER_ID, StartWorker, clean_environment
from worker.config.settings import GivenSettings
from worker.enqueue import Producer
from worker.sandbox import Sandbox
from worker.store import Store, open_database
from worker.store.schema import migrate

pytestmark = only_postgresql

JOBS = 60
SESSIONS = {SESSION: 60, TRANSACTION: 4}
"""The sessions of the pool: with `session` one for each connection of ours."""
ADVISORY = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.mark.parametrize("mode", [SESSION, TRANSACTION])
def test_workers_behind_a_pooler_ask_the_bank_once_and_complain_of_nothing(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
    pooler: MakePooler,
    mode: str,
) -> None:
    front = pooler(worker_env["KPLUS_DATABASE_URL"], mode=mode, default_pool_size=SESSIONS[mode])
    through = worker_env | {"KPLUS_DATABASE_URL": front.url}
    workers = [worker_process(through) for _ in range(2)]
    uids = [f"UID{number}" for number in range(JOBS)]
    settings = GivenSettings(
        database_url=SecretStr(front.url), broker_url=SecretStr(broker_url), partner_id=PARTNER_ID
    )
    with closing(Producer(settings)) as producer:
        for uid in uids[::2]:
            producer.enqueue({"partner_txn_uid": uid, "token_id": f"ok-{uid}", "reference1": "R"})
    send(broker_url, [order(uid, f"ok-{uid}") for uid in uids[1::2]])
    eventually(
        lambda: store.reports.stats().states["succeeded"] == JOBS,
        saying=lambda: "\n".join(each.told() for each in workers),
    )
    assert [worker.stop() for worker in workers] == [0, 0]
    assert sandbox.journal.posts_per_uid() == dict.fromkeys(uids, 1)
    said = [line for worker in workers for line in lines(worker)]
    worse = [line["event"] for line in said if line["level"] not in {"debug", "info"}]
    # Celery's, of a test that root runs.
    assert [event for event in worse if "superuser privileges" not in event] == []


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[tuple[int]]]:
    """A connection of an administrator, without a pooler."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        yield connection


def asked(url: str, question: str) -> int:
    """Return a number that an administrator asks for."""
    with connected(url) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return row[0]


def test_an_upgrade_that_is_killed_behind_a_pooler_keeps_no_lock(
    database: str, pooler: MakePooler, tmp_path: Path
) -> None:
    """The lock was one of a session, which the pooler keeps: no upgrade came past it any more."""
    downgrade(database, "kplus_0002")
    front = pooler(database, mode=TRANSACTION)
    settings = {"KPLUS_DATABASE_URL": front.url, "KPLUS_HOME": str(tmp_path / "home")}
    with connected(database) as report:
        # As a report or a backup does: the migration waits for it.
        report.execute("SELECT count(*) FROM cancel_jobs")
        upgrade = subprocess.Popen(
            [*COMMAND, "db", "upgrade"], cwd=tmp_path, env=clean_environment() | settings
        )
        eventually(lambda: asked(database, BLOCKED) or upgrade.poll() is not None)
        assert asked(database, ADVISORY) == 1
        upgrade.send_signal(signal.SIGKILL)
        assert upgrade.wait(LIMIT) == -signal.SIGKILL
        eventually(lambda: asked(database, ADVISORY) == 0)
    with closing(open_database(front.url)) as behind:
        assert migrate.upgrade(behind, home=tmp_path) != []
        assert migrate.examine(behind).up_to_date
        assert migrate.upgrade(behind, home=tmp_path) == []

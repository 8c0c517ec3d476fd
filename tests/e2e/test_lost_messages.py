"""Messages may be lost at any moment: rows are facts, and the sweep hints again."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import make_url

from tests.e2e.producers import order, send
from tests.servers.brokers import RedisServer
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, StartWorker
from tests.survival.proxy import HOST, Proxy
from worker.config.settings import GivenSettings
from worker.enqueue import Producer
from worker.store import Status, Store


@pytest.fixture
def producer(redis_server: RedisServer, database: str, tmp_path: Path) -> Iterator[Producer]:
    """A producer on another host: it knows no secret."""
    settings = GivenSettings(
        home=tmp_path / "home",
        database_url=SecretStr(database),
        broker_url=SecretStr(redis_server.url),
        partner_id=PARTNER_ID,
    )
    producer = Producer(settings)
    yield producer
    producer.close()


def _orders(count: int) -> list[dict[str, str]]:
    return [
        {"partner_txn_uid": f"UID{n}", "token_id": f"ok-{n}", "reference1": "R"}
        for n in range(count)
    ]


def test_jobs_outlive_an_emptied_broker(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    redis_server: RedisServer,
    producer: Producer,
    store: Store,
) -> None:
    """Not one message is left when the worker starts."""
    receipts = [producer.enqueue(order) for order in _orders(30)]
    assert {receipt.status for receipt in receipts} == {Status.ACCEPTED}
    redis.Redis.from_url(redis_server.url).flushall()
    worker_process(worker_env | {"KPLUS_BROKER_URL": redis_server.url})
    eventually(lambda: store.reports.stats().states["succeeded"] == 30)


def test_an_enqueue_neither_fails_nor_waits_for_a_dead_broker(
    redis_server: RedisServer, producer: Producer, store: Store
) -> None:
    redis_server.stop()
    receipts = [producer.enqueue(order) for order in _orders(3)]
    assert {receipt.status for receipt in receipts} == {Status.ACCEPTED}
    assert store.reports.stats().states["pending"] == 3


def test_an_enqueue_neither_fails_nor_waits_for_a_frozen_broker(
    redis_server: RedisServer,
    producer: Producer,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sockets would wait for an hour here: whoever comes back before has kept to a budget."""
    monkeypatch.setattr(sys.modules[Producer.__module__], "BROKER_TIMEOUT", timedelta(hours=1))
    first, *others = _orders(4)
    producer.enqueue(first)
    redis_server.freeze()
    try:
        receipts = [producer.enqueue(order) for order in others]
    finally:
        redis_server.thaw()
    assert {receipt.status for receipt in receipts} == {Status.ACCEPTED}
    assert store.reports.stats().states["pending"] == 4


@pytest.mark.postgres
@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_an_order_whose_process_is_ended_before_it_is_stored_comes_back(
    worker_env: dict[str, str], worker_process: StartWorker, broker_url: str, store: Store
) -> None:
    """The database hangs, and a child process that hangs with it is ended at its limit."""
    real = make_url(worker_env["KPLUS_DATABASE_URL"])
    with Proxy(real.port or 5432) as line:
        through = real.set(host=HOST, port=line.port).render_as_string(hide_password=False)
        given = {"KPLUS_DATABASE_URL": through, "KPLUS_RUN_SECONDS": "0"}
        short = {"KPLUS_DEADLINE_SECONDS": "1", "KPLUS_LEASE_SECONDS": "2"}
        worker = worker_process(worker_env | given | short, "--pool", "prefork")
        held = line.catch(b"INSERT INTO cancel_jobs")
        send(broker_url, [order("U1", "ok-1")])
        eventually(lambda: held.there, saying=worker.told)
        eventually(lambda: store.reports.stats().outcomes["cancelled"] == 1, saying=worker.told)
    assert "Hard time limit" in worker.told()


_REFUSED = """
    CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'no' USING ERRCODE = '23514'; END $$;
    CREATE TRIGGER no BEFORE INSERT ON cancel_jobs FOR EACH ROW
        WHEN (NEW.partner_txn_uid = 'U1') EXECUTE FUNCTION no()
"""


@pytest.mark.postgres
@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_an_order_that_the_database_refuses_is_kept(
    worker_env: dict[str, str], worker_process: StartWorker, broker_url: str, store: Store
) -> None:
    """For a reason that nobody foresaw: a rule of somebody else's."""
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql(_REFUSED)
    worker = worker_process(worker_env)
    send(broker_url, [order("U1", "ok-1")])
    eventually(lambda: store.rejected_messages.latest(most=2), saying=worker.told)
    (kept,) = store.rejected_messages.latest(most=2)
    assert (kept.reason, kept.partner_txn_uid) == ("unexpected", "U1")
    assert "ok-1" in kept.body

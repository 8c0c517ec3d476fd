"""Messages may be lost at any moment: rows are facts, and the sweep hints again."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from tests.servers.brokers import RedisServer
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, StartWorker
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

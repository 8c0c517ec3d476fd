"""A worker outlives its broker: idle or busy, with threads or processes."""

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery

from tests.celery.conftest import StartWorker
from tests.celery.parts import RedisServer
from worker.app import CANCEL_TOKEN, create_app

LOST = "Connection to broker lost"
NOT_ACKNOWLEDGED = "Couldn't ack"


@pytest.fixture
def producer(redis_server: RedisServer) -> Celery:
    return create_app(broker_url=redis_server.url, lease=timedelta(seconds=60))


def send(producer: Celery, **kwargs: Any) -> None:
    producer.send_task(CANCEL_TOKEN, kwargs=kwargs)


@pytest.mark.broker
@pytest.mark.e2e
@pytest.mark.parametrize("pool", ["threads", "prefork"])
@pytest.mark.parametrize("running", [1, 2], ids=["a free slot", "all slots busy"])
def test_a_worker_outlives_a_restart_of_redis(
    pool: str,
    running: int,
    redis_server: RedisServer,
    start_worker: StartWorker,
    producer: Celery,
) -> None:
    """
    Celery 5.7.0 ends with a slot free; with all busy and no gossip it hangs for ever.

    One job ends while Redis is away, so that an acknowledgement fails too.
    """
    gates = [redis_server.folder / f"gate{n}" for n in range(running)]
    worker = start_worker(pool=pool, concurrency=2)
    for n, gate in enumerate(gates):
        send(producer, n=n, gate=str(gate))
    worker.wait(lambda: worker.numbers("started") == set(range(running)), "the jobs to start")
    if running == 2:
        send(producer, n="queued")

    redis_server.stop()
    gates[0].touch()
    worker.wait(lambda: 0 in worker.numbers("done"), "a job to end without Redis")
    worker.wait(lambda: LOST in worker.log(), "the worker to notice")
    redis_server.start()
    for gate in gates:
        gate.touch()
    send(producer, n="after")

    expected = {*range(running), "after"} | ({"queued"} if running == 2 else set())
    worker.wait(lambda: worker.numbers("done") == expected, "all jobs to be done")
    assert {entry["worker"] for entry in worker.entries("done")} == {worker.process.pid}
    assert worker.stop() == 0
    with redis_server.client() as client:
        assert client.keys("unacked*") == []
        assert client.llen("kplus.cancel") == 0


@pytest.mark.broker
@pytest.mark.e2e
@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_failed_acknowledgement_gives_its_slot_back(
    pool: str, redis_server: RedisServer, start_worker: StartWorker, producer: Celery
) -> None:
    """
    Redis stands still while all jobs end, and no connection is lost.

    kombu 5.7.0 keeps the slot of a message that it could not acknowledge: with none left, the
    worker takes nothing more, for ever.
    """
    gates = [redis_server.folder / f"gate{n}" for n in range(2)]
    worker = start_worker(pool=pool, concurrency=2)
    for n, gate in enumerate(gates):
        send(producer, n=n, gate=str(gate))
    worker.wait(lambda: worker.numbers("started") == {0, 1}, "the jobs to start")
    redis_server.freeze()
    for gate in gates:
        gate.touch()
    # The first that fails frees its slot: then the worker may notice before the second one.
    worker.wait(
        lambda: worker.log().count(NOT_ACKNOWLEDGED) == 2 or LOST in worker.log(),
        "both to fail, or the worker to notice",
        patience=120,
    )
    redis_server.thaw()
    send(producer, n="after")
    worker.wait(lambda: "after" in worker.numbers("done"), "the worker to go on", patience=120)
    assert {entry["worker"] for entry in worker.entries("done")} == {worker.process.pid}

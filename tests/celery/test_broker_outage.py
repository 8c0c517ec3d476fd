"""A worker outlives its broker: idle or busy, with threads or processes."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import redis
from celery import Celery

from tests.celery.conftest import StartWorker
from tests.celery.parts import RedisServer
from tests.servers.sentinels import Watched
from tests.servers.waiting import eventually
from worker.broker.app import CANCEL_TOKEN, create_app
from worker.broker.keys import UNACKED

LOST = "broker_not_reached"
NOT_ACKNOWLEDGED = "Couldn't ack"


@pytest.fixture
def producer(redis_server: RedisServer) -> Celery:
    return create_app(broker_url=redis_server.url, lease=timedelta(seconds=60))


def send(producer: Celery, **kwargs: Any) -> None:
    producer.send_task(CANCEL_TOKEN, kwargs=kwargs)


def _only_failed_acks_are_left(client: redis.Redis, log: str) -> bool:
    """
    Say whether no message is left but those whose acknowledgement failed.

    Redis keeps such a message and delivers it again after the visibility timeout. Whether the
    acknowledgement fails first or the worker notices the loss first, which restores the message
    at once, is chance.
    """
    left: Any = client.hlen(UNACKED)
    return client.llen("kplus.cancel") == 0 and left <= log.count(NOT_ACKNOWLEDGED)


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
    with redis_server.client() as client:
        # A restored message comes again, perhaps after its job is done.
        worker.wait(
            lambda: _only_failed_acks_are_left(client, worker.log()),
            "all messages to be acknowledged",
        )
        assert worker.stop() == 0
        assert _only_failed_acks_are_left(client, worker.log())


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
    )
    redis_server.thaw()
    send(producer, n="after")
    worker.wait(lambda: "after" in worker.numbers("done"), "the worker to go on")
    assert {entry["worker"] for entry in worker.entries("done")} == {worker.process.pid}


@pytest.mark.broker
def test_one_client_serves_a_pool_and_goes_with_it(producer: Celery) -> None:
    """A pool that has failed is dropped for another: a kept client must not outlive it."""
    with producer.connection_for_write() as connection:
        channel: Any = connection.default_channel
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as again:
            assert again is first
        channel._disconnect_pools()  # noqa: SLF001 -- what kombu does where a connection fails
        with channel.conn_or_acquire() as second:
            assert second is not first
            assert second.ping()


@pytest.mark.broker
def test_a_connection_that_was_closed_while_idle_is_replaced(producer: Celery) -> None:
    with producer.connection_for_write() as connection:
        channel: Any = connection.default_channel
        with channel.conn_or_acquire() as client:
            mine = client.client_id()
            assert client.client_id() == mine
            with redis.Redis.from_url(producer.conf.broker_url) as other:
                other.client_kill_filter(_id=str(mine))
                eventually(lambda: str(mine) not in {each["id"] for each in other.client_list()})
            assert client.client_id() != mine


@pytest.mark.broker
def test_a_closed_connection_still_knows_its_sentinels(watched: Watched) -> None:
    """
    Celery 5.7.0 closes twice; between the two kombu forgets where the sentinels are.

    Its AttributeError then ends the worker: where a message is unacknowledged when the master
    dies, and gossip's connection is the first to notice.
    """
    producer = create_app(broker_url=watched.url, lease=timedelta(seconds=60))
    send(producer, n=1)
    connection = producer.connection_for_read()
    received: list[Any] = []
    queue = producer.amqp.queues["kplus.cancel"]
    connection.Consumer([queue], on_message=received.append).consume()
    while not received:
        _drain(connection)
    # As in a worker, each of two channels waits for a message when the master dies.
    connection.Consumer([queue], channel=connection.channel()).consume()
    _drain(connection)

    watched.master.kill()
    connection.collect(socket_timeout=1)
    connection.close()

    watched.wait_for_the_replica()
    (message,) = received
    eventually(lambda: _acknowledged(connection, message))


def _drain(connection: Any) -> None:
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.5)


def _acknowledged(connection: Any, message: Any) -> bool:
    with suppress(*connection.connection_errors):
        message.ack()
    return bool(message.acknowledged)

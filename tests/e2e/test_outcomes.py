"""The way back by a real worker: webhook and Celery message, and a receiver that hangs."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from kombu import Queue

from tests.e2e.producers import order, send
from tests.integration.stock import NOON
from tests.servers.brokers import RedisServer
from tests.servers.rabbitmq import RabbitServer
from tests.servers.receivers import OLD_SECRET, SECRET, Receiver
from tests.servers.waiting import eventually
from tests.servers.workers import StartWorker
from worker.broker.app import create_app
from worker.config.destinations import Message
from worker.domain.destinations import Destination
from worker.domain.events import event_id
from worker.outbox.celery_message import CeleryPublisher
from worker.outbox.relay import Reply
from worker.outbox.slots import BATCH
from worker.sandbox import Sandbox
from worker.store import Delivery, Store

QUEUE, TASK = "orders", "orders.cancellation_finished"
one_kind = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


@pytest.fixture
def told_env(worker_env: dict[str, str], receiver: Receiver) -> dict[str, str]:
    """The settings of a worker that tells by both ways."""
    return worker_env | {
        "KPLUS_WEBHOOK_URL": receiver.url,
        "KPLUS_WEBHOOK_SECRET": SECRET,
        "KPLUS_WEBHOOK_PREVIOUS_SECRET": OLD_SECRET,
        "KPLUS_OUTCOME_TASK": TASK,
        "KPLUS_OUTCOME_QUEUE": QUEUE,
    }


class Orders:
    """A Celery of the order system's own, with Celery's defaults: what its task is given."""

    def __init__(self, broker_url: str) -> None:
        self.app = Celery("orders", broker=broker_url, set_as_current=False)
        self.given: list[tuple[str, str, Any]] = []

    def drain(self) -> int:
        """Take what waits; return how many came so far."""
        with self.app.connection_for_read() as connection:
            queue = Queue(QUEUE, routing_key=QUEUE)
            taking = connection.Consumer([queue], callbacks=[self._take], accept=["json"])
            with taking, suppress(TimeoutError):
                while True:
                    connection.drain_events(timeout=0.2)
        return len(self.given)

    def _take(self, body: Any, message: Any) -> None:
        self.given.append((message.headers["task"], message.headers["id"], body[1]["event"]))
        message.ack()


@pytest.fixture
def orders(broker_url: str) -> Iterator[Orders]:
    orders = Orders(broker_url)
    yield orders
    orders.app.close()


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_worker_tells_the_order_system_by_webhook_and_by_message(
    told_env: dict[str, str],
    worker_process: StartWorker,
    receiver: Receiver,
    store: Store,
    broker_url: str,
    orders: Orders,
) -> None:
    worker = worker_process(told_env)
    tokens = {"U1": "ok-1", "U2": "paid-2", "U3": "ok-3"}
    send(broker_url, [order(uid, token) for uid, token in tokens.items()])
    worker.wait_until(lambda: len(receiver.taken()) == orders.drain() == len(tokens))
    worker.wait_until(lambda: not store.outbox.events(most=9))

    posted = {post.id: post.event for post in receiver.posts}
    assert set(posted) == {event_id(uid, 1) for uid in tokens}
    assert all(p.signed_with(SECRET) and p.signed_with(OLD_SECRET) for p in receiver.posts)
    outcomes = {each["data"]["partnerTxnUid"]: each["data"]["outcome"] for each in posted.values()}
    assert outcomes == {"U1": "cancelled", "U2": "paid", "U3": "cancelled"}
    assert {task for task, _, _ in orders.given} == {TASK}
    assert {task_id: event for _, task_id, event in orders.given} == posted
    assert worker.stop() == 0
    for secret in (SECRET, OLD_SECRET):
        assert secret.removeprefix("whsec_") not in worker.told()


@one_kind
def test_a_receiver_that_hangs_holds_up_no_job_and_no_stop(
    told_env: dict[str, str],
    worker_process: StartWorker,
    receiver: Receiver,
    sandbox: Sandbox,
    store: Store,
    broker_url: str,
    orders: Orders,
) -> None:
    """While every post hangs, all jobs end and are told by the other way; by this one later."""
    receiver.free.clear()
    told_env |= {"KPLUS_WEBHOOK_DEADLINE_SECONDS": "60"}
    worker = worker_process(told_env)
    send(broker_url, [order("FIRST", "ok-first")])
    worker.wait_until(lambda: receiver.posts)
    uids = [f"U{number}" for number in range(5 * BATCH)]
    send(broker_url, [order(uid, f"ok-{uid}") for uid in uids])
    worker.wait_until(lambda: store.reports.stats().states["succeeded"] == len(uids) + 1)
    assert sandbox.journal.posts_per_uid() == dict.fromkeys(["FIRST", *uids], 1)
    worker.wait_until(lambda: orders.drain() == len(uids) + 1)
    assert worker.stop() == 0
    assert {row["destination"] for row in store.outbox.events(most=99)} == {"webhook"}
    assert len(store.outbox.events(most=99)) == len(uids) + 1

    receiver.free.set()
    later = worker_process(told_env)
    later.wait_until(lambda: len(receiver.taken()) >= len(uids))


def parcel() -> Delivery:
    event = '{"id":"evt_1","data":{}}'
    where = Destination.MESSAGE
    return Delivery("evt_1", where, "U1", event, 1, "L", since=NOON, at=NOON)


def results(announcer: CeleryPublisher, *parcels: Delivery) -> list[tuple[Delivery, Reply]]:
    """Send all of them; return the results."""
    told: list[tuple[Delivery, Reply]] = []
    announcer.start(parcels, lambda *result: told.append(result))
    return told


@pytest.fixture
def orders_queue(rabbit: RabbitServer) -> Iterator[str]:
    with rabbit.channel() as channel:
        channel.queue_delete(QUEUE)
        yield QUEUE
        channel.queue_delete(QUEUE)


def test_on_rabbitmq_a_message_to_no_queue_counts_as_not_delivered(
    rabbit: RabbitServer, orders_queue: str
) -> None:
    """RabbitMQ confirms what it drops for want of a queue."""
    app = create_app(broker_url=rabbit.url, lease=timedelta(seconds=60))
    announcer = CeleryPublisher(app, Message(TASK, orders_queue))
    (told,) = results(announcer, parcel())
    assert told == (parcel(), Reply("no_such_queue"))
    with rabbit.channel() as channel:
        channel.queue_declare(orders_queue, durable=True, auto_delete=False)
        assert results(announcer, parcel()) == [(parcel(), Reply())]
        eventually(lambda: rabbit.waiting(orders_queue) == 1)
    app.close()


def test_after_a_broker_that_fails_no_other_event_is_tried(redis_server: RedisServer) -> None:
    app = create_app(broker_url=redis_server.url, lease=timedelta(seconds=60))
    redis_server.stop()
    told = results(CeleryPublisher(app, Message(TASK, QUEUE)), *[parcel()] * 3)
    replies = [reply for _, reply in told]
    assert Counter(reply.fault for reply in replies) == {"OperationalError": 3}
    app.close()

"""What Redis remembers of the messages that a worker holds: whole orders, and no hints."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer

from tests.celery.hostile import headers, item, packed, properties
from tests.celery.parts import RedisServer
from tests.servers.waiting import LIMIT
from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN, KEEP_REJECTED, create_app
from worker.broker.keys import UNACKED
from worker.broker.queues import queue

pytestmark = pytest.mark.broker

HINT = {"partnerTxnUid": "U1"}
ORDER = {**HINT, "tokenId": "T1", "reference1": "R1"}


def message(kwargs: object, args: object = (), **parts: Any) -> bytes:
    return item(body=packed(json.dumps([args, kwargs, {}])), **parts)


@dataclass
class Line:
    """A consumer as a worker has one, and the Redis behind it."""

    connection: Connection
    consumer: Consumer
    redis: "redis.Redis"
    taken: list[Any]

    def take(self, sent: bytes | None = None) -> Any:
        """Send a message, if one is given, and take the next one from the queue."""
        if sent is not None:
            self.redis.lpush(CANCEL_QUEUE, sent)
        before = len(self.taken)
        while len(self.taken) == before:
            self.connection.drain_events(timeout=LIMIT)
        return self.taken[-1]

    def close(self) -> None:
        """Close the channel, as a worker does that stops."""
        channel: Any = self.connection.default_channel
        channel.close()

    @property
    def waiting(self) -> Any:
        return self.redis.llen(CANCEL_QUEUE)

    @property
    def remembered(self) -> Any:
        return self.redis.hlen(UNACKED)


@pytest.fixture
def connect(redis_server: RedisServer) -> Iterator[Callable[[], Line]]:
    with ExitStack() as stack:

        def connected() -> Line:
            app = create_app(broker_url=redis_server.url, lease=timedelta(seconds=60))
            connection = stack.enter_context(app.connection_for_read())
            taken: list[Any] = []
            consumer = Consumer(
                connection.default_channel,
                queues=[queue(CANCEL_QUEUE, quorum=False)],
                on_message=taken.append,
                prefetch_count=1,
            )
            consumer.consume()
            client = stack.enter_context(redis_server.client())
            return Line(connection, consumer, client, taken)

        yield connected


def test_a_hint_is_not_remembered_and_an_order_is(connect: Callable[[], Line]) -> None:
    line = connect()
    hint = line.take(message(HINT))
    assert (line.waiting, line.remembered) == (0, 0)
    hint.ack()
    order = line.take(message(ORDER))
    assert (line.waiting, line.remembered) == (0, 1)
    order.ack()
    assert line.remembered == 0


ONLY_COPIES = {
    "an order": message(ORDER),
    "a uid and a partner": message({**HINT, "partnerId": "P1"}),
    "nothing": message({}),
    "positional arguments": message(HINT, ["U2"]),
    "a list": message([HINT]),
    "a long uid": message({"partnerTxnUid": "U" * 400}),
    "another task": message(HINT, headers=headers(task=KEEP_REJECTED)),
    "an order that says it is a hint": message(ORDER, **{"kplus-hint": True}),
    "an object of three": item(body=packed('{"a": 1, "b": 2, "c": 3}')),
    "no JSON": item(body=packed("no JSON")),
    "no message": b"rubbish",
}


@pytest.mark.parametrize("sent", ONLY_COPIES.values(), ids=ONLY_COPIES)
def test_whatever_may_be_the_only_copy_is_remembered(
    connect: Callable[[], Line], sent: bytes
) -> None:
    line = connect()
    line.take(sent)
    assert line.remembered == 1


@pytest.mark.parametrize("kwargs", [HINT, ORDER], ids=["hint", "order"])
def test_what_is_given_back_is_taken_again(
    connect: Callable[[], Line], kwargs: dict[str, str]
) -> None:
    line = connect()
    line.take(message(kwargs)).reject(requeue=True)
    assert (line.waiting, line.remembered) == (1, 0)
    again = line.take()
    assert json.loads(again.body)[1] == kwargs
    assert again.headers["task"] == CANCEL_TOKEN
    assert again.delivery_info["redelivered"] is True
    again.ack()
    assert (line.waiting, line.remembered) == (0, 0)


@pytest.mark.parametrize("priority", [*range(10), -1, 10, 1.5, "3", None, [9]])
def test_what_is_given_back_waits_where_a_worker_of_before_looks(
    connect: Callable[[], Line], priority: object
) -> None:
    """That is one of kombu's four lists, whichever of ten it came by."""
    line = connect()
    sent = message(ORDER, properties=properties(priority=priority))
    line.redis.lpush(f"{CANCEL_QUEUE}\x06\x165", sent)
    line.take().reject(requeue=True)
    lists = [CANCEL_QUEUE, *(f"{CANCEL_QUEUE}\x06\x16{step}" for step in (3, 6, 9))]
    assert sum(int(line.redis.llen(name)) for name in lists) == 1


def test_a_hint_that_is_given_up_is_gone(connect: Callable[[], Line]) -> None:
    line = connect()
    line.take(message(HINT)).reject(requeue=False)
    assert (line.waiting, line.remembered) == (0, 0)
    line.take(message(HINT))


@pytest.mark.parametrize("kwargs", [HINT, ORDER], ids=["hint", "order"])
def test_a_line_that_closes_gives_back_what_it_holds(
    connect: Callable[[], Line], kwargs: dict[str, str]
) -> None:
    line = connect()
    line.take(message(kwargs))
    line.close()
    assert (line.waiting, line.remembered) == (1, 0)
    assert json.loads(connect().take().body)[1] == kwargs


def test_a_hint_that_cannot_be_given_back_frees_its_slot(connect: Callable[[], Line]) -> None:
    """Redis refuses what brings it back; the sweep hints again, and the worker goes on."""
    line = connect()
    hint = line.take(message(HINT))
    line.redis.acl_setuser("default", enabled=True, commands=["-lpush"])
    hint.reject(requeue=True)
    line.redis.acl_setuser("default", enabled=True, commands=["+lpush"])
    assert line.waiting == 0
    assert json.loads(line.take(message(ORDER)).body)[1] == ORDER

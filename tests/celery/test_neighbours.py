"""Another program on Celery in the same Redis database: neither touches what is the other's."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery, chain

from tests.celery.conftest import StartWorker
from tests.celery.hostile import headers, item, packed
from tests.celery.neighbour import HOLD, NOTE, neighbour
from tests.celery.parts import Neighbour, RealWorker, RedisServer
from tests.servers.waiting import LIMIT, eventually
from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN, KEEP_REJECTED, threads_for
from worker.broker.keys import SHARED_INDEX, SHARED_UNACKED, UNACKED, UNACKED_INDEX

pytestmark = [pytest.mark.broker, pytest.mark.e2e]

OURS = 308.0
"""Seconds after which our worker gives a message back; a neighbour's timeout is an hour."""
StartNeighbour = Callable[..., Neighbour]


@pytest.fixture
def start_neighbour(redis_server: RedisServer, tmp_path: Path) -> Iterator[StartNeighbour]:
    with ExitStack() as stack:

        def start(**options: Any) -> Neighbour:
            started = Neighbour(redis_server.url, tmp_path / "neighbour", **options)
            return stack.enter_context(started)

        yield start


@pytest.fixture
def shop(redis_server: RedisServer) -> Iterator[Celery]:
    app = neighbour(redis_server.url)
    yield app
    app.close()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator["redis.Redis"]:
    with redis_server.client() as client:
        yield client


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def send(shop: Celery, n: object, gate: Path | None = None, **options: Any) -> None:
    """Send one of our messages."""
    kwargs = {"n": n} | ({"gate": str(gate)} if gate else {})
    shop.send_task(CANCEL_TOKEN, kwargs=kwargs, queue=CANCEL_QUEUE, **options)


def age(client: "redis.Redis", index: str, seconds: float = OURS) -> None:
    """Let all that is held under an index be held for so long."""
    tags: Any = client.zrange(index, 0, -1)
    client.zadd(index, dict.fromkeys(tags, time.time() - seconds))


def abandon(client: "redis.Redis", n: str, *, unacked: str = UNACKED) -> None:
    """Put a message of ours where a worker held it that was killed long ago."""
    body = packed(json.dumps([[], {"n": n}, {}]))
    info = {"exchange": "", "routing_key": CANCEL_QUEUE}
    payload = json.loads(item(body=body, headers=headers()))
    payload["properties"] |= {"delivery_tag": n, "delivery_info": info}
    client.hset(unacked, n, json.dumps([payload, "", CANCEL_QUEUE]))
    client.zadd(f"{unacked}_index", {n: 1})


def has_done(worker: RealWorker, n: object) -> bool:
    return n in worker.numbers("done")


def test_a_neighbours_running_task_stays_with_it(
    client: "redis.Redis",
    shop: Celery,
    start_neighbour: StartNeighbour,
    start_worker: StartWorker,
    gate: Path,
) -> None:
    theirs = start_neighbour()
    shop.send_task(HOLD, kwargs={"n": 1, "gate": str(gate)})
    theirs.wait(lambda: theirs.numbers("started") == {1}, "their task to start")
    age(client, SHARED_INDEX)
    ours = start_worker()
    for n in ("first", "second"):
        abandon(client, n)
        ours.wait(partial(has_done, ours, n), "a pass over abandoned messages")
    assert client.hlen(SHARED_UNACKED) == 1
    assert client.llen("celery") == 0
    gate.touch()
    theirs.wait(lambda: client.hlen(SHARED_UNACKED) == 0, "their task to end")
    assert len(theirs.entries("started")) == len(theirs.entries("done")) == 1
    assert ours.entries("kept") == []


def test_a_neighbour_in_a_hurry_leaves_what_ours_holds(
    client: "redis.Redis",
    shop: Celery,
    start_neighbour: StartNeighbour,
    start_worker: StartWorker,
    gate: Path,
) -> None:
    """Its visibility timeout is shorter than its own tasks, which it runs twice. Not ours."""
    ours = start_worker()
    send(shop, 1, gate)
    ours.wait(lambda: ours.numbers("started") == {1}, "our task to start")
    theirs = start_neighbour(visibility_timeout=0.1)
    shop.send_task(HOLD, kwargs={"n": 1, "gate": str(gate)})
    theirs.wait(lambda: len(theirs.entries("started")) >= 3, "theirs to start again and again")
    assert client.hlen(UNACKED) == 1
    gate.touch()
    ours.wait(lambda: client.hlen(UNACKED) == 0, "our task to end")
    assert len(ours.entries("started")) == 1


def test_what_a_neighbour_says_to_its_workers_ends_none_of_ours(
    client: "redis.Redis",
    shop: Celery,
    start_neighbour: StartNeighbour,
    start_worker: StartWorker,
    gate: Path,
) -> None:
    theirs, ours = start_neighbour(), start_worker(concurrency=1)
    send(shop, "running", gate)
    ours.wait(lambda: ours.numbers("started") == {"running"}, "our task to start")
    for n in range(5):
        send(shop, n)
    shop.control.purge()
    shop.control.broadcast("shutdown")
    theirs.process.wait(LIMIT)
    gate.touch()
    ours.wait(lambda: ours.numbers("done") == {"running", *range(5)}, "all of ours")
    assert client.keys("*pidbox*kplus*") == []


def test_no_key_of_ours_has_a_name_that_others_use(
    client: "redis.Redis", shop: Celery, start_worker: StartWorker, gate: Path
) -> None:
    ours = start_worker()
    send(shop, 1, gate)
    ours.wait(lambda: ours.numbers("started") == {1}, "our task to start")
    abandon(client, "abandoned")
    ours.wait(lambda: "abandoned" in ours.numbers("done"), "a pass over abandoned messages")
    names: Any = client.keys("*")
    assert UNACKED_INDEX.encode() in names
    assert [name for name in names if b"kplus." not in name] == []
    channels: Any = client.pubsub_channels("*")
    assert [name for name in channels if b"kplus." not in name] == []
    gate.touch()


@pytest.mark.parametrize("neighbours", [0, 450])
def test_what_a_worker_of_before_left_is_given_back_and_a_neighbours_is_not(
    client: "redis.Redis", shop: Celery, start_worker: StartWorker, gate: Path, neighbours: int
) -> None:
    """All workers are new, and nobody else knows that there is an order."""
    old = start_worker("old", before=True, concurrency=2)
    for n in range(2):
        send(shop, n, gate)
    old.wait(lambda: old.numbers("started") == {0, 1}, "the old worker to hold them")
    assert client.hlen(SHARED_UNACKED) == 2
    old.kill()
    age(client, SHARED_INDEX)
    gate.touch()
    body: Any = {"body": "x", "headers": {}, "properties": {"delivery_info": {}}}
    theirs: Any = {f"theirs-{n}": json.dumps([body, "", "celery"]) for n in range(neighbours)}
    if theirs:
        client.hset(SHARED_UNACKED, mapping=theirs)
        client.zadd(SHARED_INDEX, dict.fromkeys(theirs, 2))
    new = start_worker("new")
    new.wait(lambda: new.numbers("done") == {0, 1}, "the new worker to do them")
    assert client.hlen(SHARED_UNACKED) == client.zcard(SHARED_INDEX) == neighbours
    assert len(new.entries("done")) == 2
    assert new.log().count("message_of_an_old_worker_given_back") == 2


def test_a_worker_of_before_goes_on_beside_new_ones(
    client: "redis.Redis", shop: Celery, start_worker: StartWorker, tmp_path: Path
) -> None:
    """Each holds its own where it always did, and what one is killed with others give back."""
    old = start_worker("old", before=True, concurrency=2)
    new = start_worker("new", concurrency=2)
    slots = threads_for(2)
    gates = {n: tmp_path / f"gate{n}" for n in range(2 * slots)}
    for n, gate in gates.items():
        send(shop, n, gate)
    eventually(lambda: old.numbers("started") | new.numbers("started") == set(gates))
    assert client.hlen(SHARED_UNACKED) == client.hlen(UNACKED) == slots
    held = new.numbers("started")
    new.kill()
    age(client, UNACKED_INDEX)
    age(client, SHARED_INDEX, 10)
    another = start_worker("another", concurrency=2)
    another.wait(lambda: another.numbers("started") == held, "another one to take them")
    for gate in gates.values():
        gate.touch()
    eventually(lambda: old.numbers("done") | another.numbers("done") == set(gates))
    assert len(old.entries("done") + another.entries("done")) == len(gates)


@pytest.mark.parametrize("held", [b"rubbish", b"5", b'"abc"', b"[[], [], []]", b'[{}, "", [1]]'])
def test_rubbish_in_the_shared_keys_does_no_harm(
    client: "redis.Redis", start_worker: StartWorker, held: bytes
) -> None:
    client.hset(SHARED_UNACKED, "rubbish", held)
    client.zadd(SHARED_INDEX, {"rubbish": 1, "without": 2})
    abandon(client, "ours", unacked=SHARED_UNACKED)
    ours = start_worker()
    ours.wait(lambda: "ours" in ours.numbers("done"), "a pass")
    assert client.hget(SHARED_UNACKED, "rubbish") == held


def test_shared_keys_of_another_kind_do_no_harm(
    client: "redis.Redis", shop: Celery, start_worker: StartWorker
) -> None:
    client.set(SHARED_UNACKED, "a text")
    client.set(SHARED_INDEX, "a text")
    ours = start_worker()
    send(shop, 1)
    ours.wait(lambda: ours.numbers("done") == {1}, "our task")
    assert "WRONGTYPE" not in ours.log()


def test_every_priority_of_a_producer_is_served(shop: Celery, start_worker: StartWorker) -> None:
    """With `priority_steps` of its own it uses other lists than Celery's four."""
    shop.conf.broker_transport_options |= {"priority_steps": list(range(10))}
    for priority in range(10):
        send(shop, priority, priority=priority)
    ours = start_worker()
    ours.wait(lambda: ours.numbers("done") == set(range(10)), "all of them")
    assert len(ours.entries("started")) == 10
    assert ours.entries("kept") == []


def test_an_order_within_a_neighbours_chain_is_taken_and_the_chain_ends_there(
    shop: Celery, start_neighbour: StartNeighbour, start_worker: StartWorker
) -> None:
    theirs, ours = start_neighbour(), start_worker()
    n = str(uuid4())
    order = shop.signature(CANCEL_TOKEN, kwargs={"n": n}, queue=CANCEL_QUEUE)
    first, last = (shop.signature(NOTE, kwargs={"n": name}) for name in ("first", "last"))
    chain(first, order, last, app=shop).apply_async()
    ours.wait(lambda: n in ours.numbers("done"), "the order")
    (entry,) = ours.entries("started")
    assert entry["args"] == "('noted',)"
    ours.wait(lambda: "nothing_follows_this_task" in ours.log(), "the line")
    shop.send_task(NOTE, kwargs={"n": "afterwards"})
    theirs.wait(lambda: "afterwards" in theirs.numbers("noted"), "the neighbour to go on")
    assert "last" not in theirs.numbers("noted")
    assert ours.entries("kept") == []
    assert KEEP_REJECTED not in theirs.log()

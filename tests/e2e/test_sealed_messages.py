"""A body that was packed small is never unpacked: on no broker, by no name, in no queue."""

import base64
import bz2
import json
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest
from kombu.transport import pyamqp
from redis import Redis

from tests.e2e.producers import hand_over, order
from tests.servers.rabbitmq import QUEUES, RabbitServer
from tests.servers.waiting import eventually
from tests.servers.workers import StartWorker, WorkerProcess
from worker.broker.app import CANCEL_TOKEN, create_app
from worker.broker.keys import EVENTS, UNACKED
from worker.store import Store

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.broker,
    # Nothing here depends on the kind of database.
    pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True),
]

UNPACKED = 60_000_000
MOST_GROWTH = 20_000_000
"""Bytes by which a worker's memory may move while it keeps the messages of this module."""

PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "application/x-gzip": zlib.compress,
    "gzip": zlib.compress,
    "zlib": zlib.compress,
    "application/x-bz2": bz2.compress,
    "bzip2": bz2.compress,
    "bzip": bz2.compress,
    "application/x-lzma": lzma.compress,
    "lzma": lzma.compress,
    "xz": lzma.compress,
    # Not installed here, but a user's extra may bring them.
    "application/x-brotli": zlib.compress,
    "brotli": zlib.compress,
    "application/zstd": zlib.compress,
    "zstd": zlib.compress,
    "zstandard": zlib.compress,
    "a name never heard of": zlib.compress,
}
"""Every name under which kombu knows a way to unpack, and how a body is packed for it."""


class Post(Protocol):
    """A broker, and how anybody puts a message there."""

    url: str

    def put(self, body: bytes, *, queue: str, headers: Mapping[str, Any]) -> None:
        """Put a message into a queue."""

    def gossip(self, body: bytes, *, headers: Mapping[str, Any]) -> None:
        """Publish what the workers' gossip brings to each of them."""

    def is_quiet(self) -> bool:
        """Say whether no message waits, and none is held."""


class RedisPost:
    """Redis, or the server of the embedded broker."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._redis = Redis.from_url(url)

    def put(self, body: bytes, *, queue: str, headers: Mapping[str, Any]) -> None:
        self._redis.lpush(queue, _envelope(body, headers))

    def gossip(self, body: bytes, *, headers: Mapping[str, Any]) -> None:
        database = self._redis.get_connection_kwargs().get("db", 0)
        self._redis.publish(f"/{database}.{EVENTS}/worker.x", _envelope(body, headers))

    def is_quiet(self) -> bool:
        return not any(self._redis.exists(name) for name in (*QUEUES, UNACKED))


class RabbitPost:
    """RabbitMQ."""

    def __init__(self, rabbit: RabbitServer) -> None:
        self.url = rabbit.url
        self._rabbit = rabbit

    def put(self, body: bytes, *, queue: str, headers: Mapping[str, Any]) -> None:
        self._publish(body, headers, exchange="", routing_key=queue)

    def gossip(self, body: bytes, *, headers: Mapping[str, Any]) -> None:
        with self._rabbit.channel() as channel:
            # As Celery's own workers declare it, which may share the virtual host.
            channel.exchange_declare("celeryev", type="topic", durable=True, auto_delete=False)
        self._publish(body, headers, exchange="celeryev", routing_key="worker.x")

    def is_quiet(self) -> bool:
        return not any(self._rabbit.waiting(queue) for queue in QUEUES)

    def _publish(self, body: bytes, headers: Mapping[str, Any], **address: str) -> None:
        with self._rabbit.channel() as channel:
            message = channel.prepare_message(
                body,
                content_type="application/json",
                content_encoding="utf-8",
                headers=dict(headers),
            )
            channel.basic_publish(message, **address)


def _envelope(body: bytes, headers: Mapping[str, Any]) -> str:
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": headers,
            "properties": {
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
                "delivery_info": {"exchange": EVENTS, "routing_key": "worker.x"},
            },
        }
    )


@pytest.fixture(params=["redis", "rabbitmq"])
def post(request: pytest.FixtureRequest) -> Iterator[Post]:
    if request.param == "redis":
        yield RedisPost(request.getfixturevalue("broker_url"))
    else:
        yield RabbitPost(request.getfixturevalue("rabbit"))


@pytest.fixture
def worker(
    worker_env: dict[str, str], worker_process: StartWorker, post: Post, store: Store
) -> WorkerProcess:
    """A worker that has done everything once, so that its memory no longer grows by itself."""
    started = worker_process(worker_env | {"KPLUS_BROKER_URL": post.url})
    _send(post.url, *(f"WARM{number}" for number in range(40)))
    for number in range(20):
        body = json.dumps({"x": f"{number:02}" * 100_000}).encode()
        post.put(body, queue=QUEUES[0], headers={"task": CANCEL_TOKEN, "id": str(uuid4())})
    eventually(lambda: store.reports.stats().states["succeeded"] == 40)
    eventually(lambda: store.rejected_messages.counts() == {"wrong_shape": 20})
    eventually(post.is_quiet)
    return started


def _send(url: str, *uids: str) -> None:
    app = create_app(broker_url=url, lease=timedelta(seconds=60))
    for uid in uids:
        hand_over(app, order(uid, f"ok-{uid}"))
    app.close()


def _kept(store: Store, reason: str) -> int:
    """Return how many messages were kept for a reason, copies included."""
    rows = store.rejected_messages.latest(most=1000)
    return sum(row.deliveries for row in rows if row.reason == reason)


def _peak(worker: WorkerProcess) -> int:
    """Return the most memory that a process has held, in bytes."""
    for line in Path(f"/proc/{worker.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells no peak")


def test_a_packed_body_is_kept_as_it_came_and_costs_no_memory(
    worker: WorkerProcess, post: Post, store: Store
) -> None:
    """A few hundred kilobytes were 1.3 GB before anything of ours could look at them."""
    before = _peak(worker)
    zeros = bytes(UNPACKED)
    packed = {pack: pack(zeros) for pack in set(PACKERS.values())}
    del zeros
    for name, pack in PACKERS.items():
        for queue in QUEUES:
            task = {"task": CANCEL_TOKEN, "id": str(uuid4())}
            post.put(packed[pack], queue=queue, headers={"compression": name} | task)
            post.put(packed[pack], queue=queue, headers={"compression": name})
    worker.wait_until(lambda: _kept(store, "bad_encoding") == 4 * len(PACKERS))
    eventually(post.is_quiet)

    assert _peak(worker) - before < MOST_GROWTH
    assert store.rejected_messages.counts().keys() == {"wrong_shape", "bad_encoding"}


def test_packed_gossip_is_dropped_unread_and_costs_no_memory(
    worker: WorkerProcess, post: Post, store: Store
) -> None:
    """It carries no job, and anybody who may write to the broker may publish it."""
    before = _peak(worker)
    for name, pack in list(PACKERS.items())[:7]:
        body = pack(json.dumps({"hostname": "x" * UNPACKED}).encode())
        post.gossip(body, headers={"compression": name})
        post.gossip(body, headers={"compression": name, "hostname": "another@host"})
    post.gossip(b"no JSON", headers={})
    post.gossip(b"5", headers={"hostname": "another@host"})
    _send(post.url, "AFTER")
    worker.wait_until(lambda: store.reports.stats().states["succeeded"] == 41)

    assert _peak(worker) - before < MOST_GROWTH
    assert "Traceback" not in worker.told()
    assert '"exception"' not in worker.told()


def _table(*entries: bytes) -> bytes:
    """Return headers as AMQP writes them."""
    packed = b"".join(entries)
    return struct.pack(">I", len(packed)) + packed


def _nested(levels: int) -> bytes:
    """Return lists in lists, without building them."""
    value = b""
    for _ in range(levels):
        value = b"A" + struct.pack(">I", len(value)) + value
    return value


HEADERS: Mapping[str, bytes] = {
    "a time in microseconds": b"\x02atT" + struct.pack(">Q", 1_795_000_000_000_000),
    "the last time there is": b"\x02atT" + struct.pack(">Q", 2**64 - 1),
    "lists without end": b"\x01x" + _nested(12_000),
}
BY_PROPERTY = {
    "a content type that is no text": struct.pack(">H", 0x8000) + b"\x02\xff\xfe",
    "a message id that is no text": struct.pack(">H", 0x0080) + b"\x02\xc3\x28",
}
PROPERTIES = BY_PROPERTY | {
    name: struct.pack(">H", 0x2000) + _table(value) for name, value in HEADERS.items()
}


class Strange(pyamqp.amqp.Message):  # type: ignore[name-defined,misc]
    """A message with properties that no client of Python writes."""

    def __init__(self, body: bytes, written: bytes) -> None:
        super().__init__(body)
        self._written = written

    def _serialize_properties(self) -> bytes:
        return self._written


def test_headers_that_no_client_can_read_end_no_worker(
    worker_env: dict[str, str], worker_process: StartWorker, rabbit: RabbitServer, store: Store
) -> None:
    """RabbitMQ takes them from any client, and would deliver them to one worker after another."""
    worker = worker_process(worker_env | {"KPLUS_BROKER_URL": rabbit.url})
    for name, written in PROPERTIES.items():
        with rabbit.channel() as channel:
            channel.basic_publish(Strange(name.encode(), written), routing_key=QUEUES[0])
    worker.wait_until(lambda: len(store.rejected_messages.latest(most=100)) == len(PROPERTIES))
    _send(rabbit.url, "AFTER")
    worker.wait_until(lambda: store.reports.stats().states["succeeded"] == 1)
    rabbit.wait_until_empty()

    kept = {row.body: row.reason for row in store.rejected_messages.latest(most=100)}
    assert kept == dict.fromkeys(PROPERTIES, "bad_headers")
    assert '"exception"' not in worker.told()

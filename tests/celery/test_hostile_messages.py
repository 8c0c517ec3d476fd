"""No message ends the worker, and none is lost: what cannot be run is kept, once, with a reason."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import kombu
import pytest
import redis
from celery import Celery

from tests.celery import hostile
from tests.celery.hostile import BODY, CANARY, KWARGS, headed, holding, item, packed, properties
from tests.celery.parts import RealWorker, RedisServer
from tests.celery.recording_worker import SECRET
from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN, HOUSEKEEPING_QUEUE
from worker.broker.keys import EVENTS, UNACKED

pytestmark = [pytest.mark.broker, pytest.mark.e2e]


class Bench:
    """One Redis and one worker, which all tests of this module share and none may end."""

    def __init__(self, server: RedisServer, worker: RealWorker) -> None:
        self.server = server
        self.worker = worker
        self.redis = server.client()
        self.kept = 0
        self.done = 0

    def push(self, raw: bytes, *, queue: str = CANCEL_QUEUE) -> None:
        self.redis.lpush(queue, raw)

    def settle(self, *, kept: int = 0, done: int = 0) -> bool:
        """
        Wait until so many more messages were kept and run, and none is on its way.

        Return whether it was exactly so many.
        """
        wanted = self.kept + kept, self.done + done
        try:
            self.worker.wait(lambda: self._reaches(*wanted), "the journal")
            self.worker.wait(self._nothing_waits, "empty queues")
            return self._counts() == wanted
        finally:
            # One failure is not to fail all that follow.
            self.kept, self.done = self._counts()

    def last(self, event: str) -> dict[str, Any]:
        found: dict[str, Any] = self.worker.entries(event)[-1]["kwargs"]
        return found

    def _reaches(self, kept: int, done: int) -> bool:
        now = self._counts()
        return now[0] >= kept and now[1] >= done

    def _counts(self) -> tuple[int, int]:
        return len(self.worker.entries("kept")), len(self.worker.entries("done"))

    def _nothing_waits(self) -> bool:
        queues = (CANCEL_QUEUE, HOUSEKEEPING_QUEUE)
        return not self.redis.exists(UNACKED, *queues)


@pytest.fixture(scope="module", params=["threads", "prefork"])
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("hostile")
    with (
        RedisServer(folder) as server,
        RealWorker(server.url, folder, pool=request.param, concurrency=2) as worker,
    ):
        bench = Bench(server, worker)
        yield bench
        bench.redis.close()


@pytest.mark.parametrize(("raw", "reason"), hostile.ITEMS.values(), ids=hostile.ITEMS)
def test_a_message_that_cannot_be_run_is_kept_once_and_the_next_one_runs(
    bench: Bench, raw: bytes, reason: str
) -> None:
    good = str(uuid4())

    bench.push(raw)
    bench.push(holding(json.dumps([[], {"n": good}, {}])))
    assert bench.settle(kept=1, done=1)

    assert bench.last("done")["n"] == good
    kept = bench.last("kept")
    assert kept.keys() == {"reason", "detail", "task", "body"}
    assert kept["reason"] == reason
    assert len(kept["body"].encode()) <= 16 * 1024
    assert all(char.isprintable() or char == "\n" for char in kept["body"])
    assert len(kept["detail"]) <= 500


def through_kombu(**options: Any) -> Callable[[RedisServer], None]:
    body = options.pop("body", hostile.PAYLOAD)

    def send(server: RedisServer) -> None:
        with kombu.Connection(server.url) as connection, connection.channel() as channel:
            producer = kombu.Producer(channel)
            producer.publish(body, routing_key=CANCEL_QUEUE, exchange="", **options)

    return send


def through_celery(*, name: str = CANCEL_TOKEN, protocol: int = 2, **options: Any) -> Any:
    def send(server: RedisServer) -> None:
        app = Celery("a stranger", broker=server.url, set_as_current=False)
        app.conf.task_protocol = protocol
        app.send_task(name, kwargs=KWARGS, queue=CANCEL_QUEUE, **options)
        app.close()

    return send


STRANGERS = {
    "kombu, pickle": (through_kombu(serializer="pickle"), "wrong_content_type"),
    "kombu, text": (through_kombu(body="hello"), "wrong_content_type"),
    "kombu, bytes": (through_kombu(body=b"\x80\xff"), "wrong_content_type"),
    "kombu, JSON": (through_kombu(serializer="json"), "bad_headers"),
    "kombu, pickle for our task": (
        through_kombu(serializer="pickle", headers=hostile.headers()),
        "wrong_content_type",
    ),
    "kombu, a number": (through_kombu(body=5, headers=hostile.headers()), "wrong_shape"),
    "Celery, compressed": (through_celery(compression="gzip"), "bad_encoding"),
    "Celery, pickle": (through_celery(serializer="pickle"), "wrong_content_type"),
    "Celery, unknown task": (through_celery(name="some.task"), "unknown_task"),
    "Celery, protocol 1": (through_celery(protocol=1), "old_protocol"),
}


@pytest.mark.parametrize(("send", "reason"), STRANGERS.values(), ids=STRANGERS)
def test_a_strangers_message_is_kept(
    bench: Bench, send: Callable[[RedisServer], None], reason: str
) -> None:
    send(bench.server)
    assert bench.settle(kept=1)

    assert bench.last("kept")["reason"] == reason


LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC).isoformat()
FAR_AHEAD = (datetime.now(UTC) + timedelta(days=30)).isoformat()

TOLERATED = {
    "an eta far ahead": headed(eta=FAR_AHEAD),
    "an eta that is none": headed(eta={"x": 1}),
    "an expiry long past": headed(expires=LONG_AGO),
    "an expiry that is none": headed(expires=["x"]),
    "a time limit of nothing": headed(timelimit=[0.001, 0.001]),
    "a time limit that is none": headed(timelimit=5),
    "retries that are none": headed(retries="many"),
    "a group that is none": headed(group=[1]),
    "a shadow that is none": headed(shadow={"a": 1}),
    "an ignore_result that is none": headed(ignore_result="perhaps"),
    "a nesting that is none": headed(replaced_task_nesting="x"),
    "an origin that is none": headed(origin=[1, 2]),
    "stamps that are none": headed(stamps=5, stamped_headers=7),
    "a meth that is none": headed(meth=[1], lang=5, root_id=[1], parent_id={}),
    "a chain of other tasks": holding(
        json.dumps([[], KWARGS, {"chain": [{"task": "kplus.reconcile", "args": [], "kwargs": {}}]}])
    ),
    "callbacks that are none": holding(json.dumps([[], KWARGS, {"callbacks": 5, "chord": "x"}])),
    "no embed": holding(json.dumps([[], KWARGS, None])),
    "positional arguments": holding(json.dumps([[1, {"a": 2}], KWARGS, {}])),
    "odd arguments": holding(json.dumps([[], KWARGS | {"": None, "a": [[{}]]}, {}])),
    "no delivery info": item(properties=properties(delivery_info=hostile.MISSING)),
    "an unknown exchange": item(
        properties=properties(delivery_info={"exchange": "nobody", "routing_key": "x"})
    ),
    "no delivery tag": item(properties=properties(delivery_tag=hostile.MISSING)),
    "a list as delivery tag": item(properties=properties(delivery_tag=[1])),
    "a priority that is none": item(properties=properties(priority="urgent")),
    "an odd reply_to": item(properties=properties(reply_to=[1], correlation_id={})),
    "a body that is not packed": item(
        body=BODY, properties=properties(body_encoding=hostile.MISSING)
    ),
    "base64 in lines": item(body=base64.encodebytes(BODY.encode()).decode()),
    "a content type with its charset": item(content_type="application/json; charset=utf-8"),
    "a content type in capitals": item(content_type="Application/JSON", content_encoding="UTF-8"),
    "no content encoding": item(content_encoding=None),
    "a name of properties never heard of": item(properties=properties(x={"y": [1]})),
    "headers never heard of": headed(x=[1], traceparent=5),
    "headers of kombu's types": headed(x={"__type__": "uuid", "__value__": {"hex": "?"}}, __y=1),
    "headers too deep": headed(x=json.loads("[" * 500 + "]" * 500)),
}


@pytest.mark.parametrize("raw", TOLERATED.values(), ids=TOLERATED)
def test_an_oddity_that_says_nothing_about_the_job_does_not_keep_it_from_running(
    bench: Bench, raw: bytes
) -> None:
    """A message is a hint: an expired one dropped, or a delayed one lost, would be a lost job."""
    bench.push(raw)
    assert bench.settle(done=1)

    assert bench.last("done")["partnerTxnUid"] == CANARY
    assert not bench.worker.entries("reconciled")


def test_copies_of_one_message_all_run(bench: Bench) -> None:
    """They share a delivery tag; acknowledging one must not forget the others."""
    raw = item()
    for _ in range(5):
        bench.push(raw)
    assert bench.settle(done=5)


def test_rubbish_in_the_housekeeping_queue_is_kept_too(bench: Bench) -> None:
    bench.push(b"rubbish", queue=HOUSEKEEPING_QUEUE)
    bench.push(headed(task="no.such.task"), queue=HOUSEKEEPING_QUEUE)
    assert bench.settle(kept=2)


def test_rubbish_at_a_priority_is_kept_too(bench: Bench) -> None:
    bench.push(b"rubbish", queue=f"{CANCEL_QUEUE}\x06\x163")
    assert bench.settle(kept=1)


def test_whoever_pretends_to_be_the_transport_is_kept_like_the_rest(bench: Bench) -> None:
    bench.push(
        item(
            content_type="application/vnd.kplus.unreadable",
            headers={"reason": ["x"], "detail": {"y": 1}},
        )
    )
    assert bench.settle(kept=1)

    assert bench.last("kept")["reason"] == "unreadable"


@pytest.mark.parametrize(
    "gossip",
    [
        b"rubbish",
        b"5",
        b"{}",
        b"[[]]",
        item(),
        json.dumps({"body": packed("5"), "properties": properties()}).encode(),
        json.dumps(
            {
                "body": packed("{}"),
                "content-type": "application/json",
                "content-encoding": "utf-8",
                "properties": properties(),
                "headers": {},
            }
        ).encode(),
    ],
)
def test_rubbish_among_the_workers_gossip_does_no_harm(bench: Bench, gossip: bytes) -> None:
    for name in ("/worker.heartbeat", "", "/worker.x"):
        bench.redis.publish(f"/0.{EVENTS}{name}", gossip)
    bench.push(item())
    assert bench.settle(done=1)


def test_a_flood_of_rubbish_is_kept_and_ends(bench: Bench) -> None:
    bench.redis.lpush(CANCEL_QUEUE, *[b"rubbish", headed(task="no.such.task")] * 100)
    bench.push(item())
    assert bench.settle(kept=200, done=1)


def test_a_queue_that_is_no_list_does_not_end_the_worker(bench: Bench) -> None:
    with redis.Redis(port=bench.server.port) as client:
        client.set(f"{CANCEL_QUEUE}\x06\x169", "a string where a list belongs")
        bench.worker.wait(lambda: "WRONGTYPE" in bench.worker.log(), "the worker to stumble")
        client.delete(f"{CANCEL_QUEUE}\x06\x169")
    bench.push(item())
    assert bench.settle(done=1)


def test_no_body_and_no_secret_is_ever_logged_or_kept(bench: Bench) -> None:
    """The worker logs at DEBUG here, where Celery writes arguments."""
    for raw, _ in hostile.ITEMS.values():
        bench.push(raw)
    assert bench.settle(kept=len(hostile.ITEMS))

    kept = "\n".join(json.dumps(entry) for entry in bench.worker.entries("kept"))
    assert CANARY in kept
    packed_secrets = {packed("x" * shift + SECRET)[shift and 4 : -4] for shift in range(3)}
    for trace in (SECRET, *packed_secrets):
        assert trace not in kept
        assert trace not in bench.worker.log()
    assert CANARY not in bench.worker.log()

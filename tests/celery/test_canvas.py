"""Messages as Celery's own clients write them: typed values, links, chains, chords, groups."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery, chain, chord, group
from celery.canvas import Signature

from tests.celery.hostile import holding
from tests.celery.parts import RealWorker, RedisServer
from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN

pytestmark = [pytest.mark.broker, pytest.mark.e2e]

TYPED: dict[str, Any] = {
    "datetime": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    "datetime without offset": datetime(2026, 3, 1, 12, 30),  # noqa: DTZ001 - as clients write it
    "date": date(2026, 3, 1),
    "time": time(12, 30),
    "uuid": UUID("0b34a7f6-2d5c-4f3e-9a01-5f0a3c2b1d00"),
    "decimal": Decimal("19.90"),
    "bytes": b"text",
    "raw bytes": b"\xff\xfe",
}
"""Every value that kombu gives a type of its own in JSON."""
EXOTIC = {"__type__": "a-type-of-the-shop", "__value__": 1}
"""What `kombu.utils.json.register_type` of a client makes, and no worker of ours can read."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("canvas")) as server:
        yield server


@pytest.fixture(scope="module")
def worker(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealWorker]:
    folder = tmp_path_factory.mktemp("worker")
    with RealWorker(server.url, folder, pool="threads", concurrency=2) as worker:
        yield worker


@pytest.fixture(scope="module")
def shop(server: RedisServer) -> Iterator[Celery]:
    app = Celery("shop", broker=server.url, backend="cache+memory://", set_as_current=False)
    yield app
    app.close()


def other(shop: Celery, **kwargs: Any) -> Signature:
    """Return a task of the shop's own."""
    return shop.signature("shop.notify", kwargs=kwargs, queue="shop")


CANVAS: dict[str, Callable[[Celery, Signature], object]] = {
    "alone": lambda _shop, ours: ours.apply_async(),
    "link": lambda shop, ours: ours.apply_async(link=other(shop)),
    "link_error": lambda shop, ours: ours.apply_async(link_error=other(shop)),
    "chain": lambda shop, ours: chain(ours, other(shop), app=shop).apply_async(),
    "a long chain": lambda shop, ours: chain(ours, *[other(shop)] * 40, app=shop).apply_async(),
    "chord": lambda shop, ours: chord([ours], other(shop), app=shop).apply_async(),
    "group": lambda shop, ours: group([ours], app=shop).apply_async(),
    "a chain of chords": lambda shop, ours: chain(
        ours, chord([other(shop)], chord([other(shop)], other(shop))), app=shop
    ).apply_async(),
    "link with a typed value": lambda shop, ours: ours.apply_async(
        link=other(shop, at=TYPED["datetime"])
    ),
    "link with a type of the shop's": lambda shop, ours: ours.apply_async(
        link=other(shop, basket=EXOTIC)
    ),
}


@pytest.mark.parametrize("typed", TYPED)
@pytest.mark.parametrize("send", CANVAS.values(), ids=CANVAS)
def test_an_order_is_taken_whatever_follows_it(
    worker: RealWorker, shop: Celery, send: Callable[[Celery, Signature], object], typed: str
) -> None:
    n = str(uuid4())
    kwargs = {"n": n, "value": TYPED[typed]}
    send(shop, shop.signature(CANCEL_TOKEN, kwargs=kwargs, queue=CANCEL_QUEUE))
    worker.wait(lambda: n in worker.numbers("done") or worker.entries("kept"), "the order")
    assert worker.entries("kept") == []
    (found,) = [each for each in worker.entries("done") if each["kwargs"]["n"] == n]
    assert found["kwargs"]["value"] == repr(TYPED[typed])


def test_a_null_in_the_place_of_what_follows_takes_typed_values_too(
    worker: RealWorker, server: RedisServer
) -> None:
    n = str(uuid4())
    value = {"__type__": "uuid", "__value__": {"hex": TYPED["uuid"].hex}}
    with server.client() as client:
        client.lpush(CANCEL_QUEUE, holding(json.dumps([[], {"n": n, "value": value}, None])))
    worker.wait(lambda: n in worker.numbers("done") or worker.entries("kept"), "the order")
    assert worker.entries("kept") == []
    (found,) = [each for each in worker.entries("done") if each["kwargs"]["n"] == n]
    assert found["kwargs"]["value"] == repr(TYPED["uuid"])


def test_what_cannot_follow_is_said_once_of_each_kind(worker: RealWorker, shop: Celery) -> None:
    """Nothing follows: no result is kept here that another task could be given."""
    for name in ("link", "link_error", "chain", "chord") * 2:
        ours = shop.signature(CANCEL_TOKEN, kwargs={"n": str(uuid4())}, queue=CANCEL_QUEUE)
        CANVAS[name](shop, ours)
    said = "nothing_follows_this_task"

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in worker.log().splitlines() if said in line]

    worker.wait(lambda: len(lines()) >= 4, "the lines")
    assert sorted(line["what"] for line in lines()) == ["chain", "chord", "link", "link_error"]
    with_tasks = [line for line in lines() if "shop.notify" in json.dumps(line)]
    assert with_tasks == []

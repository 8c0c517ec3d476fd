"""RabbitMQ by its URL alone: the same promises, kept in quorum queues."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from celery import Celery
from pydantic import SecretStr

from tests.e2e.producers import QUICK, UNHURRIED, end_leases, hand_over, order, send
from tests.servers.rabbitmq import QUEUES, RabbitServer
from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import PARTNER_ID, StartWorker
from tests.survival.proxy import HOST, Proxy
from worker.broker.app import create_app
from worker.config.settings import GivenSettings
from worker.doctor.broker import broker
from worker.enqueue import Producer
from worker.sandbox import Sandbox
from worker.store import Status, Store

# Nothing here depends on the kind of database.
one_kind = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)

MakeProducer = Callable[[str], Producer]
PATIENT = UNHURRIED | {"KPLUS_CONCURRENCY": "2"}


@pytest.fixture
def environment(worker_env: dict[str, str], rabbit: RabbitServer) -> dict[str, str]:
    """The settings of a worker on RabbitMQ."""
    return worker_env | {"KPLUS_BROKER_URL": rabbit.url}


@pytest.fixture
def client(rabbit: RabbitServer) -> Iterator[Celery]:
    """A foreign producer, with the one setting that docs/how-to/producers.md names."""
    app = Celery(broker=rabbit.url, set_as_current=False)
    app.conf.task_create_missing_queue_type = "quorum"
    yield app
    app.close()


@pytest.fixture
def make_producer(database: str, tmp_path: Path) -> Iterator[MakeProducer]:
    made = []

    def make(url: str) -> Producer:
        settings = GivenSettings(
            home=tmp_path / "home",
            database_url=SecretStr(database),
            broker_url=SecretStr(url),
            partner_id=PARTNER_ID,
        )
        made.append(Producer(settings))
        return made[-1]

    yield make
    for producer in made:
        producer.close()


def ended(store: Store, count: int) -> None:
    eventually(lambda: store.reports.stats().states["succeeded"] == count)


def finding(url: str, home: Path) -> tuple[bool, str]:
    (found,) = broker(GivenSettings(home=home, broker_url=SecretStr(url)))
    return found.ok, found.text


@one_kind
def test_every_door_works_and_what_is_no_job_is_kept(
    environment: dict[str, str],
    worker_process: StartWorker,
    rabbit: RabbitServer,
    client: Celery,
    make_producer: MakeProducer,
    sandbox: Sandbox,
    store: Store,
    tmp_path: Path,
) -> None:
    worker = worker_process(environment)
    assert all(rabbit.is_quorum(queue) for queue in QUEUES)
    assert not rabbit.has("celery_delayed_27"), "Celery makes 28 of them beside a quorum queue"
    producer = make_producer(rabbit.url)
    for n in range(10):
        row = {"partner_txn_uid": f"UID{n}", "token_id": f"ok-{n}", "reference1": "R"}
        assert producer.enqueue(row).status is Status.ACCEPTED
        for _ in range(2):
            hand_over(client, order(f"UID{n}", f"ok-{n}", reference1="R"))
        hand_over(client, order(f"WHOLE{n}", f"ok-whole-{n}"))
    rabbit.put(b"5", content_type="application/json", content_encoding="utf-8")
    rabbit.put(b"\x80\x04N.", content_type="application/x-python-serialize")
    rabbit.put(b"[[], {}, {}]", content_type="application/json", headers={"task": "os.system"})
    hand_over(client, {"partnerTxnUid": "NOBODY"})
    ended(store, 20)
    eventually(lambda: len(store.rejected_messages.latest(most=10)) == 4)
    rabbit.wait_until_empty()
    assert set(sandbox.journal.posts_per_uid().values()) == {1}
    assert worker.stop() == 0
    good, told = finding(rabbit.url, tmp_path)
    assert good, told
    assert told.startswith("RabbitMQ ")
    assert told.endswith("its queues are quorum queues")


@one_kind
def test_a_killed_workers_messages_are_redelivered_at_once(
    environment: dict[str, str],
    worker_process: StartWorker,
    rabbit: RabbitServer,
    client: Celery,
    sandbox: Sandbox,
    store: Store,
) -> None:
    """No message waits for a timeout, as with Redis: the connection's end is enough."""
    first = worker_process(environment | PATIENT)
    # A partner that has not proved itself is called once at a time.
    hand_over(client, order("PROOF", "ok-proof"))
    ended(store, 1)
    for n in range(2):
        hand_over(client, order(f"UID{n}", f"hold-{n}"))
    assert sandbox.journal.wait_for_posts(3, timeout=LIMIT)
    # Whole messages, in no table yet: some are at the worker, the rest in the queue.
    for n in range(2, 6):
        hand_over(client, order(f"UID{n}", f"ok-{n}"))
    first.kill()
    for n in range(2):
        sandbox.release(f"hold-{n}")
    end_leases(sandbox, store)
    eventually(lambda: rabbit.waiting() == 6, saying=lambda: str(rabbit.waiting()))
    worker_process(environment | PATIENT)
    ended(store, 7)
    rabbit.wait_until_empty()
    assert sandbox.journal.overlaps() == []
    assert set(sandbox.journal.effects().values()) == {1}


@one_kind
def test_lines_that_are_cut_refused_and_frozen_cost_nothing(
    environment: dict[str, str],
    worker_process: StartWorker,
    rabbit: RabbitServer,
    make_producer: MakeProducer,
    sandbox: Sandbox,
    store: Store,
) -> None:
    """Neither the worker nor a producer fails, and the sweep is not held."""
    with Proxy(urlsplit(rabbit.url).port or 5672) as line:
        url = urlsplit(rabbit.url)._replace(netloc=f"guest:guest@{HOST}:{line.port}").geturl()
        worker = worker_process(environment | QUICK | {"KPLUS_BROKER_URL": url})
        producer = make_producer(url)
        sent = 0
        for fault, undo in (
            (line.cut, None),
            (line.down, line.up),
            (line.freeze, line.thaw),
        ):
            fault()
            for _ in range(5):
                sent += 1
                row = {"partner_txn_uid": f"UID{sent}", "token_id": f"ok-{sent}"}
                receipt = producer.enqueue(row | {"reference1": "R"})
                assert receipt.status is Status.ACCEPTED
            if undo:
                undo()
        ended(store, sent)
        assert worker.running
        assert set(sandbox.journal.posts_per_uid().values()) == {1}
        # A run may end a job before its own message comes: that is still to be taken.
        rabbit.wait_until_empty()
        assert worker.stop() == 0
    rabbit.wait_until_empty()


def test_a_classic_queue_that_was_there_first_is_served_and_told(
    rabbit: RabbitServer, tmp_path: Path
) -> None:
    """A plain Celery client that comes before the first worker makes one."""
    send(rabbit.url, [order("UID1", "ok-1")])
    app = create_app(broker_url=rabbit.url, lease=timedelta(seconds=60))
    with app.connection_for_read() as connection:
        channel = connection.channel()
        for queue in app.amqp.queues.values():
            queue(channel).declare()
        # A refusal on this channel would have closed it.
        assert app.amqp.queues[QUEUES[0]](channel).get() is not None
    hand_over(app, order("UID2", "ok-2"))
    app.close()
    assert [rabbit.is_quorum(queue) for queue in QUEUES] == [False, True]
    good, told = finding(rabbit.url, tmp_path)
    assert not good
    assert told.endswith(f"{QUEUES[0]} is no quorum queue")

"""`doctor` tries what a worker does at its broker: it names what is missing, and leaves nothing."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery

from tests.cli.conftest import Run
from tests.cli.test_doctor import DOCTOR, line
from tests.servers.acl import PASSWORD, rules, set_user, written
from tests.servers.brokers import RedisServer
from tests.servers.rabbitmq import QUEUES, RabbitServer, control
from tests.servers.waiting import eventually
from tests.servers.workers import StartWorker
from worker.store import Store

USER = "kplus-worker"
WORDS = [word for word in rules("worker") if word[0] in "+~&"]
one_kind = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
pytestmark = one_kind


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator["redis.Redis"]:
    with redis_server.client() as client:
        yield client


@pytest.fixture
def settings(
    worker_env: dict[str, str], redis_server: RedisServer, client: "redis.Redis"
) -> dict[str, str]:
    """The settings of a worker whose user of Redis has the rights of the page."""
    set_user(client, USER, rules("worker"))
    return worker_env | {"KPLUS_BROKER_URL": as_user(redis_server)}


def as_user(server: RedisServer, database: int = 0) -> str:
    return f"redis://{USER}:{PASSWORD}@127.0.0.1:{server.address.port}/{database}"


def everything(client: "redis.Redis") -> dict[bytes, Any]:
    names: Any = client.keys("*")
    return {name: client.dump(name) for name in names}


@pytest.mark.parametrize("more", ["", "+info"])
def test_the_rights_of_the_page_are_enough_and_the_probe_leaves_nothing(
    run: Run, settings: dict[str, str], client: "redis.Redis", more: str
) -> None:
    if more:
        set_user(client, USER, [more])
    client.lpush("kplus.cancel", "waits already")
    before = everything(client)
    done = run(*DOCTOR, **settings)
    found = line(done, "broker")
    assert found["ok"], found
    assert ("append-only" if more else "+info") in found["text"]
    assert everything(client) == before


@pytest.mark.parametrize("word", WORDS)
def test_each_missing_right_is_named(
    run: Run, settings: dict[str, str], client: "redis.Redis", word: str
) -> None:
    """None of the page is too much, but for those by which one connects to a database."""
    set_user(client, USER, [each for each in rules("worker") if each != word])
    database = 1 if word == "+select" else 0
    url = settings["KPLUS_BROKER_URL"].replace("/0", f"/{database}")
    client.lpush("kplus.cancel", "waits already")
    before = everything(client)
    done = run(*DOCTOR, **settings | {"KPLUS_BROKER_URL": url})
    assert everything(client) == before
    found = line(done, "broker")
    assert (found["ok"], done.code) == (False, 1)
    assert f"`ACL SETUSER {USER} " in found["remedy"]
    assert word in found["remedy"].replace("`", " ").split()
    assert "may not" in found["text"]
    assert PASSWORD not in done.all()


def test_all_that_is_missing_is_named_at_once(
    run: Run, settings: dict[str, str], client: "redis.Redis"
) -> None:
    gone = {"+brpop", "+hset", "+psubscribe"}
    set_user(client, USER, [each for each in rules("worker") if each not in gone])
    remedy = line(run(*DOCTOR, **settings), "broker")["remedy"]
    assert gone <= set(remedy.replace("`", " ").replace(";", " ").split())


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_needs_no_more_rights_than_the_page_gives(
    worker_process: StartWorker,
    settings: dict[str, str],
    redis_server: RedisServer,
    client: "redis.Redis",
    store: Store,
    pool: str,
) -> None:
    """Nor does a producer: the log of what Redis refused names neither."""
    set_user(client, "shop", rules("producer"))
    worker = worker_process(settings, "--pool", pool)
    address = f"redis://shop:{PASSWORD}@127.0.0.1:{redis_server.address.port}/0"
    with Celery(broker=address, set_as_current=False) as shop:
        for n in range(5):
            order = {"partnerTxnUid": f"U{n}", "tokenId": f"ok-{n}", "reference1": "R"}
            shop.send_task("kplus.cancel_token", kwargs=order, queue="kplus.cancel", priority=n)
    eventually(lambda: store.reports.stats().outcomes["cancelled"] == 5, saying=worker.told)
    client.lpush("kplus.cancel", "rubbish")
    eventually(lambda: not client.hlen("kplus.unacked") and store.rejected_messages.counts())
    assert worker.stop() == 0
    refused: Any = client.acl_log()
    text = [str(each) for each in refused]
    # Whether it may ask about Redis itself, and about messages of a version before.
    assert [each for each in text if "info" not in each and "unacked_index" not in each] == []


def test_a_probe_reaches_no_worker(
    run: Run,
    worker_process: StartWorker,
    settings: dict[str, str],
    client: "redis.Redis",
    store: Store,
) -> None:
    worker = worker_process(settings)
    for _ in range(10):
        assert line(run(*DOCTOR, **settings), "broker")["ok"]
    client.lpush("kplus.cancel", "rubbish")
    eventually(lambda: "message_rejected" in worker.told(), saying=worker.told)
    assert store.rejected_messages.counts().keys() <= {"not_json"}
    assert "probe" not in worker.told()


@pytest.mark.parametrize(
    ("config", "words", "remedy"),
    [
        ({"maxmemory": "1"}, "takes no message", "memory"),
        ({"min-replicas-to-write": "3"}, "takes no message", "replicas"),
        ({"replicaof": "127.0.0.1 1"}, "takes no message", "master"),
    ],
    ids=["full", "without replicas", "a replica"],
)
def test_a_redis_that_takes_no_message_is_wrong(
    run: Run,
    settings: dict[str, str],
    client: "redis.Redis",
    config: dict[str, str],
    words: str,
    remedy: str,
) -> None:
    for name, value in config.items():
        if name == "replicaof":
            client.replicaof(*value.split())
        else:
            client.config_set(name, value)
    found = line(run(*DOCTOR, **settings), "broker")
    assert not found["ok"]
    assert words in found["text"]
    assert remedy in found["remedy"]


def test_a_wrong_password_is_told_without_it(run: Run, settings: dict[str, str]) -> None:
    url = settings["KPLUS_BROKER_URL"].replace(PASSWORD, "canary-password")
    done = run(*DOCTOR, **settings | {"KPLUS_BROKER_URL": url})
    assert not line(done, "broker")["ok"]
    assert "canary" not in done.all()


def test_a_redis_without_room_for_connections_is_wrong(
    run: Run, settings: dict[str, str], client: "redis.Redis"
) -> None:
    set_user(client, USER, ["+info"])
    client.config_set("maxclients", "12")
    found = line(run(*DOCTOR, **settings), "broker")
    assert not found["ok"]
    assert "maxclients" in found["remedy"]


@pytest.fixture
def at_large(worker_env: dict[str, str], redis_server: RedisServer) -> dict[str, str]:
    """The settings of a worker that may do everything there."""
    return worker_env | {"KPLUS_BROKER_URL": redis_server.url}


ORDER = {"partnerTxnUid": "U", "tokenId": "T", "reference1": "R"}


@pytest.mark.parametrize(
    ("options", "sent", "names"),
    [
        ({"global_keyprefix": "shop:"}, {"queue": "kplus.cancel"}, "shop:kplus.cancel"),
        ({"sep": ":", "priority_steps": [0, 5]}, {"queue": "kplus.cancel", "priority": 5}, "el:5"),
        ({}, {"queue": "kplus.cancel.fifo"}, "kplus.cancel.fifo"),
        ({}, {}, "celery"),
    ],
    ids=["global_keyprefix", "sep", "a mistyped queue", "no queue"],
)
def test_messages_that_no_worker_reads_are_found(
    run: Run,
    at_large: dict[str, str],
    redis_server: RedisServer,
    options: dict[str, Any],
    sent: dict[str, Any],
    names: str,
) -> None:
    with Celery(broker=redis_server.url, set_as_current=False) as shop:
        shop.conf.broker_transport_options = options
        shop.send_task("kplus.cancel_token", kwargs=ORDER, **sent)
    found = line(run(*DOCTOR, **at_large), "messages")
    assert not found["ok"]
    assert found["text"].startswith("1 message waits")
    assert names in found["text"]


def test_what_belongs_to_others_is_not_taken_for_ours(
    run: Run, at_large: dict[str, str], redis_server: RedisServer, client: "redis.Redis"
) -> None:
    with Celery(broker=redis_server.url, set_as_current=False) as shop:
        shop.send_task("shop.mine")
        shop.send_task("shop.mine", queue="shop.kplus.cancelled")
        shop.send_task("kplus.cancel_token", kwargs=ORDER, queue="kplus.cancel", priority=3)
    client.lpush("celery", "rubbish", "5", "[]", '{"headers": 5}')
    outcomes = {"KPLUS_OUTCOME_TASK": "shop.told", "KPLUS_OUTCOME_QUEUE": "shop.kplus.cancel"}
    client.lpush("shop.kplus.cancel", "x")
    done = run(*DOCTOR, **at_large, **outcomes)
    assert [each for each in done.json["checks"] if each["check"] == "messages"] == []
    assert "another Celery program" in line(done, "broker")["text"]


@pytest.fixture
def rabbit_user(rabbit: RabbitServer, worker_env: dict[str, str]) -> Iterator[dict[str, str]]:
    """The settings of a worker whose user of RabbitMQ may nothing yet."""
    host = urlsplit(rabbit.url).path.lstrip("/")
    user = f"worker-{host}"
    control("add_user", user, PASSWORD)
    url = f"amqp://{user}:{PASSWORD}@127.0.0.1:5672/{host}"
    yield worker_env | {"KPLUS_BROKER_URL": url}
    control("delete_user", user)


def grant(settings: dict[str, str], *rights: str) -> None:
    parts = urlsplit(settings["KPLUS_BROKER_URL"])
    control("set_permissions", "-p", parts.path.lstrip("/"), parts.username or "", *rights)


PAGE = written("rabbitmq")[-3:]


@pytest.mark.parametrize("queues", ["no queues", "queues"])
@pytest.mark.parametrize("lacks", ["nothing", "configure", "write", "read", "default"])
def test_the_rights_on_rabbitmq_are_tried(
    run: Run, rabbit: RabbitServer, rabbit_user: dict[str, str], lacks: str, queues: str
) -> None:
    if queues == "queues":
        with rabbit.channel() as channel:
            for name in QUEUES:
                arguments = {"x-queue-type": "quorum"}
                channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
    rights = dict(zip(("configure", "write", "read"), PAGE, strict=True))
    if lacks == "default":
        rights["write"] = r"^kplus\."
    elif lacks != "nothing":
        rights[lacks] = "^$"
    grant(rabbit_user, *rights.values())
    before = {name: rabbit.has(name) for name in QUEUES}
    done = run(*DOCTOR, **rabbit_user)
    found = line(done, "broker")
    assert found["ok"] == (lacks == "nothing"), found
    if lacks != "nothing":
        assert ("amq.default" if lacks == "default" else lacks) in found["text"]
        assert "set_permissions" in found["remedy"]
        assert all(right in found["remedy"] for right in PAGE)
    assert {name: rabbit.has(name) for name in QUEUES} == before
    assert PASSWORD not in done.all()


def test_a_worker_needs_no_more_rights_on_rabbitmq_than_the_page_gives(
    worker_process: StartWorker,
    rabbit: RabbitServer,
    rabbit_user: dict[str, str],
    store: Store,
) -> None:
    grant(rabbit_user, *PAGE)
    worker = worker_process(rabbit_user)
    assert all(rabbit.is_quorum(name) for name in QUEUES)
    with Celery(broker=rabbit_user["KPLUS_BROKER_URL"], set_as_current=False) as shop:
        shop.conf.task_create_missing_queue_type = "quorum"
        shop.send_task("kplus.cancel_token", kwargs=ORDER | {"tokenId": "ok-1"}, queue=QUEUES[0])
    eventually(lambda: store.reports.stats().outcomes["cancelled"] == 1, saying=worker.told)
    assert "ACCESS_REFUSED" not in worker.told()


@pytest.mark.parametrize("wrong", ["password", "virtual host"])
def test_who_cannot_log_in_to_rabbitmq_is_told(
    run: Run, rabbit_user: dict[str, str], wrong: str
) -> None:
    grant(rabbit_user, *PAGE)
    url = rabbit_user["KPLUS_BROKER_URL"]
    bad = url.replace(PASSWORD, "canary") if wrong == "password" else f"{url}-nowhere"
    done = run(*DOCTOR, **rabbit_user | {"KPLUS_BROKER_URL": bad})
    found = line(done, "broker")
    assert not found["ok"]
    assert ("refused" if wrong == "password" else "not found") in found["text"]
    assert "canary" not in done.all()


@pytest.mark.parametrize("sender", ["celery", "amqp"])
def test_a_producer_needs_no_more_rights_on_rabbitmq_than_the_page_gives(
    worker_process: StartWorker,
    worker_env: dict[str, str],
    rabbit: RabbitServer,
    rabbit_user: dict[str, str],
    store: Store,
    sender: str,
) -> None:
    worker = worker_process(worker_env | {"KPLUS_BROKER_URL": rabbit.url})
    publishing = ("^$", r"^amq\.default$", "^$")
    grant(rabbit_user, *(written("rabbitmq_producer")[-3:] if sender == "celery" else publishing))
    url = rabbit_user["KPLUS_BROKER_URL"]
    order = ORDER | {"tokenId": "ok-1"}
    if sender == "celery":
        with Celery(broker=url, set_as_current=False) as shop:
            shop.conf.task_create_missing_queue_type = "quorum"
            shop.send_task("kplus.cancel_token", kwargs=order, queue=QUEUES[0])
    else:
        headers = {"id": "1", "task": "kplus.cancel_token"}
        body = json.dumps([[], order, None]).encode()
        json_utf8 = {"content_type": "application/json", "content_encoding": "utf-8"}
        RabbitServer(url).put(body, headers=headers, **json_utf8)
    eventually(lambda: store.reports.stats().outcomes["cancelled"] == 1, saying=worker.told)


def test_with_the_words_for_doctor_it_sees_more(
    run: Run, settings: dict[str, str], redis_server: RedisServer, client: "redis.Redis"
) -> None:
    with Celery(broker=redis_server.url, set_as_current=False) as shop:
        shop.send_task("kplus.cancel_token", kwargs=ORDER)
    client.lpush("shop:kplus.cancel", "x")
    assert "messages" not in [each["check"] for each in run(*DOCTOR, **settings).json["checks"]]
    set_user(client, USER, rules("doctor"))
    checks = run(*DOCTOR, **settings).json["checks"]
    assert [each["text"] for each in checks if each["check"] == "messages"] == [
        "1 message waits in `shop:kplus.cancel`, which no worker reads",
        "1 message waits in `celery`, the queue of another program",
    ]
    found = next(each for each in checks if each["check"] == "broker")
    assert "another Celery program" in found["text"]
    assert "keeps its messages" in found["text"]

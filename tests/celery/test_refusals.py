"""A broker that answers and refuses: a worker says so now and then, and goes on once it may."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery

from tests.celery.parts import RealWorker, RedisServer
from tests.celery.test_neighbours import send
from tests.servers.rabbitmq import RabbitServer, control
from tests.servers.waiting import eventually

pytestmark = [pytest.mark.broker, pytest.mark.e2e]

Start = Callable[[str], RealWorker]
FAILURES = 6
"""So many are waited for: 15 s. Celery's own loop reaches them within one."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(url: str) -> RealWorker:
            return stack.enter_context(
                RealWorker(url, tmp_path / "w", pool="threads", concurrency=1, ready=False)
            )

        yield started


def lines(worker: RealWorker) -> list[dict[str, Any]]:
    """Return all events that a worker has logged, but for those of a developer's level."""
    found = [json.loads(line) for line in worker.log().splitlines() if line.startswith("{")]
    return [line for line in found if line["level"] != "debug"]


def is_refused(worker: RealWorker) -> bool:
    """Say whether it has logged five refusals, and nothing else but its start."""
    start = (f"recording-{worker.process.pid}@localhost ready.", "Connected to")
    found = [line for line in lines(worker) if not line["event"].startswith(start)]
    assert len(lines(worker)) - len(found) <= len(start)
    assert {line["event"] for line in found} <= {"broker_refuses"}
    return len(found) >= FAILURES - 1


@pytest.mark.parametrize(
    ("rights", "mended"),
    [
        (("~*", "+@all", "resetchannels"), ("allchannels",)),
        (("resetkeys", "+@all", "allchannels"), ("allkeys",)),
        (("~*", "+@all", "allchannels", "-brpop"), ("+brpop",)),
        (("~*", "+@all", "allchannels", "-ping"), ("+ping",)),
        (("~*", "+@all", "allchannels", "resetpass", ">other"), (">secret",)),
    ],
    ids=["no channels", "no keys", "a command", "no ping", "another password"],
)
def test_a_worker_whose_user_of_redis_may_not_enough_waits_and_says_little(
    redis_server: RedisServer, start: Start, rights: tuple[str, ...], mended: tuple[str, ...]
) -> None:
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "shy", "reset", "on", ">secret", *rights)
        worker = start(f"redis://shy:secret@127.0.0.1:{redis_server.port}/0")
        eventually(lambda: is_refused(worker), saying=worker.log)
        client.execute_command("ACL", "SETUSER", "shy", *mended)
        app = Celery(broker=redis_server.url, set_as_current=False)
        send(app, 1)
        app.close()
        worker.wait(lambda: worker.numbers("done") == {1}, "the worker to go on")
        worker.wait(lambda: "broker_serves_again" in worker.log(), "the last line")
    assert "secret" not in worker.log()


@pytest.mark.parametrize("wrong", ["password", "virtual host"])
def test_a_worker_that_rabbitmq_refuses_waits_and_says_little(
    rabbit: RabbitServer, start: Start, wrong: str
) -> None:
    host = urlsplit(rabbit.url).path.lstrip("/")
    user = f"shy-{host}"
    control("add_user", user, "secret")
    try:
        if wrong == "password":
            control("set_permissions", "-p", host, user, ".*", ".*", ".*")
        password = "other" if wrong == "password" else "secret"
        worker = start(f"amqp://{user}:{password}@127.0.0.1:5672/{host}")
        eventually(lambda: is_refused(worker), saying=worker.log)
        if wrong == "password":
            control("change_password", user, "other")
        else:
            control("set_permissions", "-p", host, user, ".*", ".*", ".*")
        worker.wait(lambda: " ready." in worker.log(), "the worker to go on")
    finally:
        control("delete_user", user)

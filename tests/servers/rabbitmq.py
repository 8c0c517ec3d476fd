"""RabbitMQ for the tests: a virtual host that nobody else uses, or the given one."""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from kombu import Connection

from tests.servers.missing import unavailable
from tests.servers.waiting import LIMIT, eventually

GIVEN: Final = "KPLUS_TEST_AMQP_URL"
HERE: Final = ("127.0.0.1", 5672)
USER: Final = "guest"
"""RabbitMQ's own first user, who may come from the loopback alone."""
QUEUES: Final = ("kplus.cancel", "kplus.housekeeping")
REMEDY: Final = f"set {GIVEN} to a virtual host whose kplus queues may be deleted"


class RabbitServer:
    """A virtual host of RabbitMQ, as these tests see it."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """Lend a channel; a refusal closes it."""
        with Connection(self.url, connect_timeout=LIMIT) as connection:
            yield connection.channel()

    def forget(self) -> None:
        """Delete the queues, with whatever is in them."""
        with self.channel() as channel:
            for queue in QUEUES:
                channel.queue_delete(queue)

    def waiting(self, queue: str = QUEUES[0]) -> int:
        """Return how many messages are ready to be delivered; those at a worker do not count."""
        with self.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)

    def wait_until_empty(self) -> None:
        """Return when nothing waits in the queues, and nothing comes back to them."""
        eventually(lambda: not any(self.waiting(queue) for queue in QUEUES))

    def has(self, queue: str) -> bool:
        """Say whether there is a queue of this name."""
        with self.channel() as channel:
            try:
                channel.queue_declare(queue, passive=True)
            except channel.connection.channel_errors:
                return False
        return True

    def is_quorum(self, queue: str) -> bool:
        """Say of what kind a queue is: declared as another it is refused."""
        with self.channel() as channel:
            try:
                channel.queue_declare(
                    queue,
                    durable=True,
                    auto_delete=False,
                    arguments={"x-queue-type": "quorum"},
                )
            except channel.connection.channel_errors:
                return False
        return True

    def put(self, body: bytes, **properties: Any) -> None:
        """Put a message into the queue that no Celery client would send."""
        with self.channel() as channel:
            message = channel.prepare_message(body, **properties)
            channel.basic_publish(message, exchange="", routing_key=QUEUES[0])


@pytest.fixture(scope="session")
def rabbit_host() -> Iterator[str]:
    """
    The URL of a virtual host whose queues may be deleted.

    The queues' names are fixed, and those of a machine's own virtual host may be somebody's.
    """
    if given := os.environ.get(GIVEN):
        with _alone(given):
            yield given
        return
    try:
        socket.create_connection(HERE, timeout=LIMIT).close()
    except OSError as reason:
        _missing(f"none answers at {HERE[0]}:{HERE[1]} ({reason})")
    if shutil.which("rabbitmqctl") is None:
        _missing("there is no rabbitmqctl to make a virtual host with")
    name = f"kplus_test_{uuid.uuid4().hex[:16]}"
    try:
        control("add_vhost", name)
        control("set_permissions", "-p", name, USER, ".*", ".*", ".*")
        yield f"amqp://{USER}:{USER}@{HERE[0]}:{HERE[1]}/{name}"
    except subprocess.SubprocessError as reason:
        _missing(f"rabbitmqctl cannot make a virtual host ({reason})")
    finally:
        with suppress(subprocess.SubprocessError):
            control("delete_vhost", name)


@pytest.fixture
def rabbit(rabbit_host: str) -> RabbitServer:
    """RabbitMQ without our queues."""
    server = RabbitServer(rabbit_host)
    server.forget()
    return server


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """Keep other test processes away from the one virtual host there is."""
    name = f"kplus-tests-{uuid.uuid5(uuid.NAMESPACE_URL, url)}.lock"
    with (Path(tempfile.gettempdir()) / name).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def control(*arguments: str) -> None:
    """Run `rabbitmqctl`."""
    subprocess.run(
        ["rabbitmqctl", "--quiet", *arguments],  # noqa: S607 - wherever the machine has it
        check=True,
        capture_output=True,
        timeout=LIMIT,
    )


def _missing(reason: str) -> None:
    unavailable("RabbitMQ", f"{reason} ({REMEDY})", installable=False)

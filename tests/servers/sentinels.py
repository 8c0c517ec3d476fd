"""A master, its replica and a sentinel: the replica takes over when the master dies."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Self

import pytest
import redis

from tests.servers.brokers import REMEDY, RedisServer, patient
from tests.servers.missing import unavailable
from tests.servers.waiting import eventually
from worker.broker.embedded.guarded import Guarded, Order
from worker.broker.embedded.server import HOST, ServerAddress, find_program
from worker.errors import BrokerUnavailable

NAME: Final = "kplus"


class Member(RedisServer):
    """A server that can be master or replica, with the password of all of them."""

    def __init__(self, folder: Path, *, password: str, of: "Member | None" = None) -> None:
        super().__init__(folder)
        self.address = ServerAddress(self.address.port, password)
        self._of = of

    def _configuration(self) -> str:
        follows = f"replicaof {HOST} {self._of.address.port}\n" if self._of else ""
        auth = f"masterauth {self.address.password}\nrepl-diskless-sync-delay 0\n"
        return super()._configuration() + auth + follows

    def replication(self) -> dict[str, Any]:
        """Return what it says of its part."""
        with self.client() as client:
            return dict(client.info("replication"))


class Watched:
    """A master and a replica under the eyes of one sentinel."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "sentinel.log"
        self._stack = ExitStack()
        sentinel = ServerAddress.choose()
        self.sentinel = ServerAddress(sentinel.port, "")
        password = sentinel.password
        self.url = f"sentinel://:{password}@{HOST}:{self.sentinel.port}/0?master_name={NAME}"
        self.master = Member(folder / "master", password=password)
        self.replica = Member(folder / "replica", password=password, of=self.master)

    def __enter__(self) -> Self:
        with self._stack as stack:
            stack.enter_context(self.master)
            stack.enter_context(self.replica)
            eventually(
                lambda: self.replica.replication()["master_link_status"] == "up",
            )
            stack.callback(self._watch().end)
            eventually(self._knows_both)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def wait_for_the_replica(self) -> None:
        """Return when the replica has taken the master's place."""
        eventually(self._leads, saying=self._log.read_text)

    def _leads(self) -> bool:
        # It drops its clients while it takes over.
        with suppress(redis.ConnectionError):
            return bool(self.replica.replication()["role"] == "master")
        return False

    def _watch(self) -> Guarded:
        path = self._folder / "sentinel.conf"
        # The sentinel writes into it what it learns.
        path.write_text(
            f"bind {HOST}\nport {self.sentinel.port}\ndir {self._folder}\n"
            f"sentinel monitor {NAME} {HOST} {self.master.address.port} 1\n"
            f"sentinel auth-pass {NAME} {self.master.address.password}\n"
            f"sentinel down-after-milliseconds {NAME} 1000\n"
            f"sentinel failover-timeout {NAME} 10000\n"
        )
        order = Order([str(find_program()), str(path), "--sentinel"])
        return Guarded(order, log=self._log)

    def _knows_both(self) -> bool:
        if self.sentinel.server_pid() is None:
            return False
        with patient(self.sentinel) as client:
            (known,) = [
                master for master in client.sentinel_masters().values() if master["name"] == NAME
            ]
            return int(known["num-slaves"]) == 1


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """A master with its replica, watched."""
    try:
        find_program()
    except BrokerUnavailable as reason:
        unavailable("broker", f"{reason} ({REMEDY})")
    with Watched(tmp_path / "watched") as all_of_them:
        yield all_of_them

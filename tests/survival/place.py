"""One worker in the arena: its process, and a proxy of its own before each server."""

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import make_url

from tests.servers.workers import COMMAND, WorkerProcess
from tests.survival.proxy import HOST, Proxy


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the real servers are."""

    broker: str
    database: str
    bank: str

    @property
    def database_port(self) -> int | None:
        """The database's port; none for a file."""
        return make_url(self.database).port


@dataclass
class Place:
    """A seat for one worker after another, and the lines between it and the servers."""

    name: str
    folder: Path
    real: Addresses
    command: Sequence[str] = COMMAND
    worker: WorkerProcess | None = None
    lives: int = 0
    broker: Proxy = field(init=False)
    bank: Proxy = field(init=False)
    database: Proxy | None = field(init=False)

    def __post_init__(self) -> None:
        self.broker = Proxy(urlsplit(self.real.broker).port or 6379)
        self.bank = Proxy(urlsplit(self.real.bank).port or 80)
        port = self.real.database_port
        self.database = None if port is None else Proxy(port)

    @property
    def lines(self) -> list[Proxy]:
        """All its proxies."""
        return [line for line in (self.broker, self.bank, self.database) if line is not None]

    @property
    def process(self) -> WorkerProcess:
        """The worker that sits here now."""
        assert self.worker is not None, f"no worker was started at {self.name}"
        return self.worker

    def launch(self, settings: Mapping[str, str], *arguments: str) -> None:
        """Start a worker; do not wait until it is ready."""
        if self.worker is not None:
            self.worker.close()
        self.lives += 1
        folder = self.folder / f"{self.name}-{self.lives}"
        environment = {**settings, **self._addresses()}
        self.worker = WorkerProcess(environment, folder, arguments=arguments, command=self.command)

    def _addresses(self) -> dict[str, str]:
        """Return the settings that lead through the proxies."""
        database = make_url(self.real.database)
        if self.database is not None:
            database = database.set(host=HOST, port=self.database.port)
        return {
            "KPLUS_BROKER_URL": _through(self.real.broker, self.broker),
            "KPLUS_BANK_URL": _through(self.real.bank, self.bank),
            "KPLUS_DATABASE_URL": database.render_as_string(hide_password=False),
        }

    def kill(self) -> None:
        """End the worker outright; its kernel resets what it held open."""
        # A held connection would otherwise outlive it, with the transaction that is open on it.
        for pid in self._family():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for line in self.lines:
            line.cut()

    def stop(self) -> int:
        """Ask the worker to end; return its exit code."""
        return self.process.stop()

    def freeze(self) -> None:
        """Stop the worker in the middle of whatever it does, children too."""
        for pid in self._family():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in self._family():
            os.kill(pid, signal.SIGCONT)

    def _family(self) -> list[int]:
        """Return the worker's process ids, the parent first: it starts no other meanwhile."""
        parent = self.process.pid
        listed = Path(f"/proc/{parent}/task/{parent}/children")
        return [parent, *(int(pid) for pid in listed.read_text().split())]

    def close(self) -> None:
        """End the worker and its lines."""
        if self.worker is not None:
            self.worker.close()
        for line in self.lines:
            line.close()


def _through(url: str, proxy: Proxy) -> str:
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{credentials}{at}{HOST}:{proxy.port}").geturl()

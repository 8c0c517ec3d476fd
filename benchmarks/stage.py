"""The servers of a run, all its own and gone with it: PostgreSQL, Redis, the bank, workers."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks import bare
from benchmarks.queues import Queue
from tests.servers.brokers import RedisServer
from tests.servers.postgres import PostgresServer, PrivatePostgres
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, SECRET, WorkerProcess, clean_environment
from tools.tree import ROOT
from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN
from worker.broker.embedded.guarded import Guarded, Order

CONCURRENCY = 16
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process, of ours or a bare one, and its queue."""

    pid: int
    queue: Queue

    def cpu(self) -> float:
        """Return the seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def wait_until_idle(self) -> None:
        """Wait until it uses next to nothing: the last hints have been worked off."""

        def is_idle() -> bool:
            before = self.cpu()
            time.sleep(0.05)
            return self.cpu() == before

        eventually(is_idle)

    def memory(self) -> int:
        """Return its resident bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE


class Stub:
    """The bank that costs nothing, in a process of its own."""

    def __init__(self, folder: Path, latency: float, one_in: int) -> None:
        log = Path(tempfile.mkdtemp(dir=folder)) / "stub.log"
        command = [sys.executable, "-m", "benchmarks.stub", str(latency), str(one_in)]
        self.guarded = Guarded(Order(command, options=_options(ROOT)), log=log)
        self.url = f"http://127.0.0.1:{int(eventually(log.read_text))}/cancel-token"


class Stage:
    """What one run of the benchmarks has at hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._queues = 0

    def __enter__(self) -> Self:
        with self._stack as stack:
            self._redis = stack.enter_context(RedisServer(self.folder / "redis"))
            postgres = stack.enter_context(PrivatePostgres(durable=True))
            self.postmaster = int(
                (postgres.folder / "data" / "postmaster.pid").read_text().split()[0]
            )
            self._databases = PostgresServer(postgres.url)
            stack.callback(self._databases.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of a new database with our tables."""
        url = self._databases.create()
        try:
            yield url
        finally:
            self._databases.drop(url)

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """Yield the URL of a new database without tables."""
        url = self._databases.create_empty()
        try:
            yield url
        finally:
            self._databases.drop(url)

    @contextmanager
    def bank(self, latency: float = 0.0, *, one_in: int = 0) -> Iterator[Stub]:
        """Yield a bank that answers after so many seconds, and one request in so many never."""
        stub = Stub(self.folder, latency, one_in)
        try:
            yield stub
        finally:
            stub.guarded.end()

    @contextmanager
    def bare(self, stub: Stub, task: str, *, like: Worker | None = None) -> Iterator[Worker]:
        """Yield a worker with the bare tasks; beside another one, `like` it, on the same queue."""
        queue = like.queue if like else self.queue(bare.QUEUE, task)
        log = self.folder / f"bare-{queue.number}-{id(queue)}-{like is not None}.log"
        command = [sys.executable, "-m", "benchmarks.bare", queue.url, stub.url, str(CONCURRENCY)]
        guarded = Guarded(Order(command, options=_options(ROOT)), log=log)
        try:
            eventually(lambda: bare.READY in log.read_text(), within=60, saying=log.read_text)
            assert guarded.pid is not None
            yield Worker(guarded.pid, queue)
        finally:
            guarded.end()

    @contextmanager
    def ours(
        self,
        stub: Stub,
        database: str,
        *,
        like: Worker | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Iterator[Worker]:
        """Yield a worker of this project."""
        queue = like.queue if like else self.queue(CANCEL_QUEUE, CANCEL_TOKEN)
        every = self.settings(database, queue, bank=stub.url) | dict(settings or {})
        process = WorkerProcess(every, Path(tempfile.mkdtemp(dir=self.folder)) / "worker")
        try:
            process.wait_until_ready()
            yield Worker(process.pid, queue)
        finally:
            process.close()

    def settings(
        self, database: str, queue: Queue, *, bank: str = "http://127.0.0.1:9/"
    ) -> dict[str, str]:
        """Return the settings of a worker, or of a producer, on these servers."""
        return {
            "KPLUS_HOME": tempfile.mkdtemp(dir=self.folder),
            "KPLUS_DATABASE_URL": database,
            "KPLUS_BROKER_URL": queue.url,
            "KPLUS_BANK_URL": bank,
            "KPLUS_PARTNER_ID": PARTNER_ID,
            "KPLUS_PARTNER_SECRET": SECRET,
            "KPLUS_CONCURRENCY": str(CONCURRENCY),
        }

    def queue(self, name: str, task: str) -> Queue:
        """Return a queue that nobody else has."""
        self._queues += 1
        return Queue(self._redis.url, self._queues % 14, name, task)


def _options(folder: Path) -> dict[str, object]:
    return {"cwd": str(folder), "env": clean_environment()}

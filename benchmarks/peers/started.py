"""The contenders of a run, started: ours, the bare one, and one for each other library."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import bare
from benchmarks.jobs import AT_ONCE
from benchmarks.orders import accept, hints_at
from benchmarks.peers.contenders import Contender, Orders, Rows
from benchmarks.peers.job import with_celery
from benchmarks.peers.job.given import Given
from benchmarks.peers.job.tables import INSERT, TABLES
from benchmarks.peers.libraries import BACKLOG, BARE, HINTED, LIBRARIES, Library
from benchmarks.peers.running import Program
from benchmarks.queues import Queue
from benchmarks.stage import CONCURRENCY, Stage, Stub
from worker.store import Store, open_database


@dataclass(frozen=True, slots=True)
class Everybody:
    """Starts them on the servers of a run; each has a database and a queue of its own."""

    stage: Stage
    stub: Stub
    python: Path
    """Of the environment with the other libraries."""

    @contextmanager
    def started(self) -> Iterator[Sequence[Contender]]:
        """Yield them all, each ready."""
        with ExitStack() as stack:
            libraries = enumerate(LIBRARIES)
            yield [
                stack.enter_context(self._bare()),
                *stack.enter_context(self._ours()),
                *(stack.enter_context(self._library(each, f"P{n}t")) for n, each in libraries),
            ]

    @contextmanager
    def _bare(self) -> Iterator[Contender]:
        with self.stage.bare(self.stub, bare.POST) as worker:
            hand_over = _by_messages(worker.queue, lambda brought: brought)
            yield Contender(BARE, "B", worker.pid, _nothing, hand_over, None)

    @contextmanager
    def _ours(self) -> Iterator[Sequence[Contender]]:
        with ExitStack() as stack:
            database = stack.enter_context(self.stage.database())
            store = Store(open_database(database))
            stack.callback(store.close)
            rows = stack.enter_context(Rows(_as_libpq_reads(database)))
            worker = stack.enter_context(self.stage.ours(self.stub, database))

            def let_it_find(brought: Orders) -> float:
                began = time.monotonic()
                accept(store, brought, hinted=False)
                return began

            def store_first(brought: Orders) -> None:
                accept(store, brought, hinted=True)

            by_hints = _by_messages(worker.queue, hints_at)
            yield [
                Contender(BACKLOG, "L", worker.pid, _nothing, let_it_find, rows),
                Contender(HINTED, "H", worker.pid, store_first, by_hints, rows),
            ]

    @contextmanager
    def _library(self, library: Library, prefix: str) -> Iterator[Contender]:
        with ExitStack() as stack:
            url = _as_libpq_reads(stack.enter_context(self.stage.empty_database()))
            connection = stack.enter_context(psycopg.connect(url, autocommit=True))
            connection.execute(TABLES)
            rows = stack.enter_context(Rows(url))
            queue = self.stage.queue(with_celery.QUEUE, with_celery.TASK)
            given = Given(url, queue.url, self.stub.url, CONCURRENCY)
            program = Program(self.stage.folder, self.python, library.module, given)
            pid = stack.enter_context(program.working())

            def insert(brought: Orders) -> None:
                connection.execute(INSERT, {"orders": json.dumps(brought)})

            if library.is_celery:
                hand_over = _by_messages(queue, _uids_of)
            else:
                hand_over = stack.enter_context(program.filling()).fill
            yield Contender(library.name, prefix, pid, insert, hand_over, rows)


def _by_messages(queue: Queue, made_of: Callable[[Orders], Orders]) -> Callable[[Orders], float]:
    """Return what fills a Celery worker's queue, as much at once as in the case `jobs`."""

    def hand_over(brought: Orders) -> float:
        messages = made_of(brought)
        queue.fill(messages[:AT_ONCE])
        began = time.monotonic()
        for first in range(AT_ONCE, len(messages), AT_ONCE):
            queue.drain()
            queue.fill(messages[first : first + AT_ONCE])
        return began

    return hand_over


def _uids_of(brought: Orders) -> Orders:
    return [{"uid": each["partnerTxnUid"]} for each in brought]


def _nothing(_brought: Orders) -> None:
    """A contender that keeps no rows, or gets them otherwise, stores none before."""


def _as_libpq_reads(url: str) -> str:
    return url.replace("postgresql+psycopg:", "postgresql:", 1)

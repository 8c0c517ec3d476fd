"""A contender: a worker that is up, how it gets its orders, and what its turns cost."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import httpx
import psycopg

from benchmarks.figures import Series
from benchmarks.orders import orders
from benchmarks.processes import tree_seconds
from tests.servers.waiting import eventually

REST = 0.3
"""Seconds after the last job in which everybody may acknowledge it."""
STORED = """
SELECT
    (SELECT count(*) FROM cancel_jobs
     WHERE partner_txn_uid LIKE %(prefix)s AND state = 'succeeded' AND finished_at IS NOT NULL),
    (SELECT count(*) FROM cancel_attempts WHERE partner_txn_uid LIKE %(prefix)s),
    (SELECT count(*) FROM token_statuses WHERE partner_txn_uid LIKE %(prefix)s)
"""

Orders = list[dict[str, str]]


class Bank:
    """The bank of a run, asked how often it was asked."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client()

    def posts(self, prefix: str) -> tuple[int, int]:
        """Return how many uids with a prefix it was asked about, and by how many POSTs."""
        told = self._client.post(self._url, json={"counted": prefix}).json()
        return told["uids"], told["posts"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


class Rows:
    """What a contender has stored, in its database."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def stored(self, prefix: str) -> tuple[int, int, int]:
        """Return how many jobs with a prefix are done, and their attempts and tokens."""
        row = self._connection.execute(STORED, {"prefix": f"{prefix}%"}).fetchone()
        assert row is not None
        return row[0], row[1], row[2]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


@dataclass
class Contender:
    """
    A worker, and the figures of its turns.

    `accept` stores the orders' rows. `hand_over` lets the worker have them, and returns when it
    did so by the clock of this machine.
    """

    name: str
    prefix: str
    pid: int
    accept: Callable[[Orders], None]
    hand_over: Callable[[Orders], float]
    rows: Rows | None
    cpu: list[float] = field(default_factory=list)
    database_cpu: list[float] = field(default_factory=list)
    pace: list[float] = field(default_factory=list)

    def turn(self, number: int, *, count: int, bank: Bank, postmaster: int) -> None:
        """Let it do so many jobs; fail unless it does each of them once. Turn 0 is not counted."""
        brought = orders(number, count=count, prefix=self.prefix)
        mark = f"{self.prefix}{number}"
        database = tree_seconds(postmaster)
        self.accept(brought)
        worker = tree_seconds(self.pid)
        began = self.hand_over(brought)
        eventually(lambda: bank.posts(mark)[0] == count, saying=lambda: self._told(bank, mark))
        eventually(lambda: self._is_done(mark, count), saying=lambda: self._told(bank, mark))
        took = time.monotonic() - began
        time.sleep(REST)
        worker, database = tree_seconds(self.pid) - worker, tree_seconds(postmaster) - database
        if not self._is_done(mark, count) or bank.posts(mark) != (count, count):
            raise AssertionError(f"not every job was done once: {self._told(bank, mark)}")
        if number:
            self.cpu.append(1000 * worker / count)
            self.database_cpu.append(1000 * database / count)
            self.pace.append(count / took)

    def cost(self) -> Series:
        """Return the processor time of a job."""
        return Series(self.name, "ms", self.cpu)

    def _is_done(self, mark: str, count: int) -> bool:
        return self.rows is None or self.rows.stored(f"{mark}x") == (count, count, count)

    def _told(self, bank: Bank, mark: str) -> str:
        uids, posts = bank.posts(mark)
        stored = self.rows.stored(f"{mark}x") if self.rows else "nothing is stored"
        return f"{self.name}: {uids} uids, {posts} POSTs; jobs, attempts, tokens: {stored}"

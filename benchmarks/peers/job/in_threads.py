"""The job for libraries that work in threads: psycopg's pool and httpx's client."""

import uuid

import httpx
from psycopg_pool import ConnectionPool

from benchmarks.peers.job.conversation import TIMEOUT, Answer, Request, now, pool_limits
from benchmarks.peers.job.given import Given
from benchmarks.peers.job.statements import CLAIM, SETTLE


def bank_client(given: Given) -> httpx.Client:
    """Return a client for all threads of a process."""
    return httpx.Client(limits=pool_limits(given.concurrency), timeout=TIMEOUT)


def ask(client: httpx.Client, bank_url: str, request: Request) -> Answer:
    """Make the one POST of a job."""
    started_at = now()
    return Answer.read(
        client.post(bank_url, json=request.body, headers=request.headers), started_at
    )


class ThreadedJob:
    """Does jobs for all threads of a process."""

    def __init__(self, given: Given) -> None:
        self._bank_url = given.bank_url
        self._client = bank_client(given)
        self._pool = ConnectionPool(
            given.database_url,
            min_size=given.concurrency,
            max_size=given.concurrency,
            kwargs={"autocommit": True},
            open=True,
        )
        self._pool.wait()

    def do(self, uid: str) -> None:
        """Cancel the token of a job, unless somebody has claimed it."""
        lease_id = str(uuid.uuid4())
        with self._pool.connection() as connection:
            row = connection.execute(CLAIM, {"uid": uid, "lease_id": lease_id}).fetchone()
        if row is None:
            return
        answer = ask(self._client, self._bank_url, Request(uid, *row))
        with self._pool.connection() as connection:
            settled = {"uid": uid, "lease_id": lease_id, **answer.columns()}
            connection.execute(SETTLE, settled)

"""The job for libraries on asyncio: psycopg's asynchronous pool and httpx's asynchronous client."""

import uuid
from typing import Self

import httpx
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers.job.conversation import TIMEOUT, Answer, Request, now, pool_limits
from benchmarks.peers.job.given import Given
from benchmarks.peers.job.statements import CLAIM, SETTLE


class AsyncJob:
    """Does jobs for all tasks of an event loop."""

    def __init__(self, given: Given, pool: AsyncConnectionPool) -> None:
        self._bank_url = given.bank_url
        self._client = httpx.AsyncClient(limits=pool_limits(given.concurrency), timeout=TIMEOUT)
        self._pool = pool

    @classmethod
    async def begin(cls, given: Given) -> Self:
        """Return one whose connections are open."""
        pool = AsyncConnectionPool(
            given.database_url,
            min_size=given.concurrency,
            max_size=given.concurrency,
            kwargs={"autocommit": True},
            open=False,
        )
        await pool.open(wait=True)
        return cls(given, pool)

    async def do(self, uid: str) -> None:
        """Cancel the token of a job, unless somebody has claimed it."""
        lease_id = str(uuid.uuid4())
        async with self._pool.connection() as connection:
            claimed = await connection.execute(CLAIM, {"uid": uid, "lease_id": lease_id})
            row = await claimed.fetchone()
        if row is None:
            return
        answer = await self._ask(Request(uid, *row))
        async with self._pool.connection() as connection:
            settled = {"uid": uid, "lease_id": lease_id, **answer.columns()}
            await connection.execute(SETTLE, settled)

    async def _ask(self, request: Request) -> Answer:
        started_at = now()
        response = await self._client.post(
            self._bank_url, json=request.body, headers=request.headers
        )
        return Answer.read(response, started_at)

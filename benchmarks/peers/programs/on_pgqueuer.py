"""
The job as a PgQueuer entrypoint; the row of the queue goes when the entrypoint has ended.

As its documents advise: one connection of asyncpg for the queue, and its command's event loop.
"""

import asyncio
import signal
import time

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.peers.job.given import Given
from benchmarks.peers.job.in_tasks import AsyncJob
from benchmarks.peers.job.program import ready, run

GIVEN = Given.read()


async def serve() -> None:
    """Work as `pgq run` does."""
    pgq = PgQueuer.from_asyncpg_connection(await asyncpg.connect(GIVEN.database_url))
    queries = Queries(pgq.connection)
    if not await queries.schema_is_installed():
        await queries.install()
    job = await AsyncJob.begin(GIVEN)
    # Its own limit would count jobs that have ended until they are flushed, and leave places idle:
    # it is given as its documents give it, and sixteen of those jobs run.
    places = asyncio.Semaphore(GIVEN.concurrency)

    @pgq.entrypoint("cancel")
    async def cancel(message: Job) -> None:
        assert message.payload is not None
        async with places:
            await job.do(message.payload.decode())

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pgq.shutdown.set)
    ready()
    await pgq.run(batch_size=20, max_concurrent_tasks=100)


async def enqueue(uids: list[str]) -> float:
    """Enqueue them all by one statement; return when it was committed."""
    connection = await asyncpg.connect(GIVEN.database_url)
    queries = Queries(AsyncpgDriver(connection))
    payloads: list[bytes | None] = [uid.encode() for uid in uids]
    async with connection.transaction():
        await queries.enqueue(["cancel"] * len(uids), payloads, [0] * len(uids))
        began = time.monotonic()
    await connection.close()
    return began


def work() -> None:
    """Work until SIGTERM, on the event loop that its command takes."""
    uvloop.run(serve())


def fill(uids: list[str]) -> float:
    """Enqueue them all."""
    return asyncio.run(enqueue(uids))


if __name__ == "__main__":
    run(work, fill)

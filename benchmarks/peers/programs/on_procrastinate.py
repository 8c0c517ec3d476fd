"""The job as a Procrastinate task; its row is marked as done when the task has ended."""

import asyncio
import time

from procrastinate import App, PsycopgConnector

from benchmarks.peers.job.given import Given
from benchmarks.peers.job.in_tasks import AsyncJob
from benchmarks.peers.job.program import ready, run

GIVEN = Given.read()
ITS_TABLE = "SELECT to_regclass('procrastinate_jobs') AS found"

app = App(connector=PsycopgConnector(conninfo=GIVEN.database_url, max_size=GIVEN.concurrency))
jobs: list[AsyncJob] = []


@app.task(name="cancel")
async def cancel(uid: str) -> None:
    """Cancel one token."""
    await jobs[0].do(uid)


async def serve() -> None:
    """Work as `procrastinate worker` does."""
    async with app.open_async():
        found = await app.connector.execute_query_one_async(ITS_TABLE)
        if found["found"] is None:
            await app.schema_manager.apply_schema_async()
        jobs.append(await AsyncJob.begin(GIVEN))
        ready()
        await app.run_worker_async(concurrency=GIVEN.concurrency)


async def defer(uids: list[str]) -> float:
    """Defer them all by one statement; return when it was sent."""
    async with app.open_async():
        began = time.monotonic()
        await cancel.batch_defer_async(*({"uid": uid} for uid in uids))
        return began


def work() -> None:
    """Work until SIGTERM."""
    asyncio.run(serve())


def fill(uids: list[str]) -> float:
    """Defer them all."""
    return asyncio.run(defer(uids))


if __name__ == "__main__":
    run(work, fill)

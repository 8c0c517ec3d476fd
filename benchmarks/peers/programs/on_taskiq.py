"""
The job as a Taskiq task on a Redis stream: the broker that its documents advise for durable work.

The command acknowledges when a task has ended.
"""

import asyncio
import sys

import redis
from taskiq import TaskiqEvents, TaskiqState
from taskiq.cli.worker.args import WorkerArgs
from taskiq.cli.worker.run import run_worker
from taskiq_redis import RedisStreamBroker

from benchmarks.peers.job.given import Given
from benchmarks.peers.job.in_tasks import AsyncJob
from benchmarks.peers.job.program import at_once, ready, run

GIVEN = Given.read()
QUEUE = "taskiq"

broker = RedisStreamBroker(GIVEN.broker_url, queue_name=QUEUE)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def begin(state: TaskiqState) -> None:
    """Open the connections of the worker process."""
    state.job = await AsyncJob.begin(GIVEN)
    ready()


@broker.task(task_name="cancel")
async def cancel(uid: str) -> None:
    """Cancel one token."""
    await broker.state.job.do(uid)


def work() -> None:
    """Work as `taskiq worker` does, in one worker process."""
    words = [
        "--workers",
        "1",
        "--max-async-tasks",
        str(GIVEN.concurrency),
        "--log-level",
        "WARNING",
    ]
    sys.exit(run_worker(WorkerArgs.from_cli([f"{__spec__.name}:broker", *words])))


def fill(uids: list[str]) -> float:
    """Write the messages aside, then add them to the worker's stream in one transaction."""
    with (
        redis.Redis.from_url(GIVEN.aside_url) as aside,
        redis.Redis.from_url(GIVEN.broker_url) as client,
    ):
        aside.flushdb()
        asyncio.run(_write_aside(uids))
        stroke = client.pipeline(transaction=True)
        for _, message in aside.xrange(QUEUE):
            stroke.xadd(QUEUE, message)
        return at_once(stroke.execute)


async def _write_aside(uids: list[str]) -> None:
    aside = RedisStreamBroker(GIVEN.aside_url, queue_name=QUEUE)
    await aside.startup()
    for uid in uids:
        await cancel.kicker().with_broker(aside).kiq(uid)
    await aside.shutdown()


if __name__ == "__main__":
    run(work, fill)

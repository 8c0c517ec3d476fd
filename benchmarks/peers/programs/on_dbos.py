"""
The job as a DBOS workflow of one step, under its own uid: the least that its documents allow.

With a step for the POST, and a transaction of a datasource before and after it, a job takes several
times as many statements. A worker polls its queue, and takes as many workflows as may run: by
default once a second, which would be sixteen jobs a second. Here it does so every 50 ms.
"""

import threading
from functools import cache

import sqlalchemy as sa
from dbos import DBOS, DBOSClient

from benchmarks.peers.job.given import Given
from benchmarks.peers.job.in_threads import ThreadedJob
from benchmarks.peers.job.program import at_once, ready, run

GIVEN = Given.read()
QUEUE = "cancel"
POLLED_EVERY = 0.05

jobs: list[ThreadedJob] = []


@cache
def producer() -> tuple[DBOSClient, sa.Engine]:
    """Return what enqueues, and in whose transactions."""
    url = GIVEN.sqlalchemy_url
    return DBOSClient(system_database_url=url), sa.create_engine(url)


@DBOS.step()
def cancel_token(uid: str) -> None:
    """Do the job."""
    jobs[0].do(uid)


@DBOS.workflow(name=QUEUE)
def cancel(uid: str) -> None:
    """Cancel one token."""
    cancel_token(uid)


def work() -> None:
    """Work until SIGTERM."""
    DBOS(
        config={
            "name": "peers",
            "system_database_url": GIVEN.sqlalchemy_url,
            "log_level": "WARNING",
        }
    )
    jobs.append(ThreadedJob(GIVEN))
    DBOS.launch()
    DBOS.register_queue(
        QUEUE, worker_concurrency=GIVEN.concurrency, polling_interval_sec=POLLED_EVERY
    )
    ready()
    threading.Event().wait()


def fill(uids: list[str]) -> float:
    """Enqueue them all in one transaction, each under its uid."""
    client, engine = producer()
    with engine.connect() as connection:
        for uid in uids:
            options = {"queue_name": QUEUE, "workflow_name": QUEUE, "workflow_id": uid}
            client.enqueue_in_transaction(connection, options, uid)
        return at_once(connection.commit)


if __name__ == "__main__":
    run(work, fill)

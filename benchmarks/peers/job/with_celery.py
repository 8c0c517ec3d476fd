"""A plain Celery worker for the job, set as the bare one is: threads, acknowledged late."""

from collections.abc import Callable

from celery import Celery
from celery.signals import worker_ready

from benchmarks.peers.job.given import Given
from benchmarks.peers.job.program import ready

QUEUE = "peers"
TASK = "peers.cancel"


def serve(given: Given, do: Callable[[str], None]) -> None:
    """Work until SIGTERM."""
    app = Celery("peers", broker=given.broker_url)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        task_default_queue=QUEUE,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
    )

    @app.task(name=TASK)
    def cancel(uid: str) -> None:
        """Cancel one token."""
        do(uid)

    worker_ready.connect(lambda **_: ready(), weak=False)
    threads = ["--pool=threads", f"--concurrency={given.concurrency}"]
    app.worker_main(["worker", *threads, "--loglevel=WARNING"])

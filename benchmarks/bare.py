"""
The bare Celery tasks that the worker is held against: one does nothing, one only POSTs.

Run as: python -m benchmarks.bare BROKER_URL BANK_URL CONCURRENCY. What a developer writes in ten
lines: acknowledged late like ours, and nothing is kept of what the bank said.
"""

import sys
import time

import httpx
from celery import Celery
from celery.signals import worker_ready

QUEUE = "bare"
NO_OP = "bare.no_op"
POST = "bare.post"
READY = "bare worker ready"


def main(broker_url: str, bank_url: str, concurrency: int) -> None:
    """Work until SIGTERM."""
    app = Celery("bare", broker=broker_url)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        task_default_queue=QUEUE,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
    )
    client = httpx.Client(limits=httpx.Limits(max_connections=concurrency), timeout=15)

    @app.task(name=NO_OP)
    def no_op(**_order: str) -> None:
        """Do nothing."""

    @app.task(name=POST)
    def post(**order: str) -> None:
        secret = "c2VjcmV0LW9mLWEtYmVuY2htYXJr"  # noqa: S105 -- the stub takes any
        body = {**order, "partnerSecret": secret, "requestDt": int(time.time())}
        headers = {"Partner-Id": order["partnerId"], "Partner-Secret": secret}
        answer = client.post(bank_url, json=body, headers=headers)
        answer.raise_for_status()
        answer.json()

    worker_ready.connect(lambda **_: print(READY, flush=True), weak=False)
    app.worker_main(
        ["worker", "--pool=threads", f"--concurrency={concurrency}", "--loglevel=WARNING"]
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

"""
A real worker whose tasks write down what they are given.

Run as: recording_worker.py BROKER_URL JOURNAL POOL CONCURRENCY [before]

With `before` it holds its messages where workers of the versions before did.
"""

import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from worker.broker.app import CANCEL_TOKEN, KEEP_REJECTED, RECONCILE, create_app
from worker.telemetry.log import configure_logging
from worker.telemetry.redaction import protect

SECRET = "c2VjcmV0LW9mLXRoZS1wYXJ0bmVyLWluLWEtdGVzdA"
LONGEST_WAIT = 60.0


BEFORE = {
    "unacked_key": "unacked",
    "unacked_index_key": "unacked_index",
    "unacked_mutex_key": "unacked_mutex",
    "priority_steps": [0, 3, 6, 9],
}


def main(broker_url: str, journal: str, pool: str, concurrency: str, version: str = "") -> None:
    worker_pid = os.getpid()
    app = create_app(
        broker_url=broker_url,
        lease=timedelta(seconds=60),
        concurrency=int(concurrency),
        pool=pool,
    )
    if version:
        app.conf.broker_transport_options = app.conf.broker_transport_options | BEFORE
        app.conf.update(event_exchange="celeryev", event_queue_prefix="celeryev")

    def write(**entry: Any) -> None:
        line = json.dumps(entry | {"worker": worker_pid}, default=repr) + "\n"
        with Path(journal).open("a", encoding="utf-8") as file:
            file.write(line)

    def cancel_token(*args: Any, **kwargs: Any) -> None:
        write(event="started", args=repr(args), kwargs=kwargs)
        gate = kwargs.get("gate")
        until = time.monotonic() + LONGEST_WAIT
        while gate and not Path(gate).exists() and time.monotonic() < until:
            time.sleep(0.02)
        write(event="done", kwargs=kwargs)

    def keep_rejected(**kwargs: Any) -> None:
        write(event="kept", kwargs=kwargs)

    def reconcile() -> None:
        write(event="reconciled", kwargs={})

    for name, function in (
        (CANCEL_TOKEN, cancel_token),
        (KEEP_REJECTED, keep_rejected),
        (RECONCILE, reconcile),
    ):
        app.task(name=name)(function)

    protect([SECRET])
    configure_logging(level="DEBUG", json=True)
    app.Worker(loglevel="DEBUG", hostname=f"recording-{worker_pid}@localhost").start()


if __name__ == "__main__":
    main(*sys.argv[1:])

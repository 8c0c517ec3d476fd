"""
Another program on Celery in the same Redis database: an order system with a worker of its own.

Run as: neighbour.py BROKER_URL JOURNAL VISIBILITY_TIMEOUT
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from celery import Celery

HOLD = "shop.hold"
NOTE = "shop.note"
LONGEST_WAIT = 60.0


def neighbour(broker_url: str, *, visibility_timeout: float = 3600) -> Celery:
    """Return its application: nothing is set but what a user of Celery would set."""
    app = Celery("shop", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": visibility_timeout,
            "unacked_restore_interval": 0.2,
            "unacked_restore_throttle": 1,
        },
    )
    return app


def main(broker_url: str, journal: str, visibility_timeout: str) -> None:
    app = neighbour(broker_url, visibility_timeout=float(visibility_timeout))

    def write(event: str, kwargs: dict[str, Any]) -> None:
        with Path(journal).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "kwargs": kwargs}) + "\n")

    @app.task(name=HOLD)
    def hold(**kwargs: Any) -> None:
        write("started", kwargs)
        until = time.monotonic() + LONGEST_WAIT
        while not Path(kwargs["gate"]).exists() and time.monotonic() < until:
            time.sleep(0.02)
        write("done", kwargs)

    @app.task(name=NOTE)
    def note(*args: Any, **kwargs: Any) -> str:
        write("noted", kwargs | {"args": args})
        return "noted"

    app.Worker(loglevel="INFO", pool="threads", concurrency=4).start()


if __name__ == "__main__":
    main(*sys.argv[1:])

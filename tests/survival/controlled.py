"""
Runs the command line with remote control switched on: `python -m tests.survival.controlled …`.

Ours is off. With it a worker keeps one more line to Redis, which is what Celery 5.7 falls over
when Redis restarts; so both are held.
"""

import sys
from typing import Any

from worker.broker import app
from worker.cli import main

COMMAND = (sys.executable, "-m", "tests.survival.controlled")


def control() -> None:
    """Let the application of a worker listen to remote control."""
    settings = app._worker  # noqa: SLF001 - whoever changes a product reaches into it

    def controlled(concurrency: int, pool: str) -> dict[str, Any]:
        return settings(concurrency, pool) | {"worker_enable_remote_control": True}

    app._worker = controlled  # noqa: SLF001


if __name__ == "__main__":
    control()
    sys.exit(main())

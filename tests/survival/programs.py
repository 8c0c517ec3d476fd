"""Scenarios in which another program uses the same servers."""

import time
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from tests.celery.neighbour import HOLD, neighbour
from tests.celery.parts import Neighbour
from tests.survival.arena import Arena
from tests.survival.load import Load
from tests.survival.remarks import Remark
from worker.broker.keys import SHARED_INDEX

HELD = 3
"""Tasks that the other program runs while ours is broken."""
LONG_AGO = 400.0
"""Seconds; our workers give back what one of them has held for 308."""


def celery_beside(arena: Arena, load: Load) -> None:
    """
    Let another program's tasks run for long, while our workers are killed and it purges its queue.

    What it holds is older than what any worker of ours would leave to another.
    """
    arena.start("a", "b")
    app = neighbour(arena.redis.url)
    gate = arena.folder / "their-gate"
    with Neighbour(arena.redis.url, arena.folder / "theirs") as theirs:
        _hold(app, gate)
        theirs.wait(lambda: len(theirs.entries("started")) == HELD, "their tasks to start")
        for portion in load.rounds(3):
            with load.delivering(portion), arena.redis.client() as client:
                arena.wait_for_a_call()
                _age(client)
                arena.fault("purged by another program")
                app.control.purge()
                arena.kill("a")
                arena.start("a")
        arena.wait_until_idle()
        gate.touch()
        theirs.wait(lambda: len(theirs.entries("done")) == HELD, "their tasks to end")
        arena.measured["their starts"] = len(theirs.entries("started"))
    app.close()


def _hold(app: Celery, gate: Path) -> None:
    for number in range(HELD):
        app.send_task(HOLD, kwargs={"n": number, "gate": str(gate)})


def _age(client: "redis.Redis") -> None:
    """Let all that the other program holds be held for long."""
    tags: Any = client.zrange(SHARED_INDEX, 0, -1)
    client.zadd(SHARED_INDEX, dict.fromkeys(tags, time.time() - LONG_AGO))


def theirs_is_theirs(arena: Arena, _load: Load) -> Remark:
    """Each of its tasks ran once."""
    starts = int(arena.measured["their starts"])
    complaint = f"{HELD} tasks of the other program began {starts} times"
    return Remark(f"its {HELD} tasks began {starts} times", [complaint] if starts > HELD else [])

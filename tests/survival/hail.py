"""The long one: five minutes of load in which a worker is killed every three seconds."""

import time
from pathlib import Path

from tests.survival.arena import Arena
from tests.survival.load import Load
from tests.survival.remarks import Remark

RATE = 50.0
JOBS = 15_000
EVERY = 3.0
"""Seconds between two kills, where workers start fast enough."""
WARM_UP = 60.0
"""Seconds after which a worker has made whatever it makes once."""
FLAT = 1.15
"""By so much a worker may have grown since."""

SURVIVOR = "d"


def hail(arena: Arena, load: Load) -> None:
    """
    Kill three workers in turn and start each again at once; leave a fourth alone.

    A kill waits for its worker to be ready: one that has not begun yet would prove nothing. Where
    a start takes longer than three rounds, there are fewer kills, and the line says how many.
    """
    arena.start("a", "b", "c", SURVIVOR)
    _weigh(arena, "start")
    began = time.monotonic()
    with load.delivering(load.jobs):
        turn = 0
        while load.delivered < len(load.jobs):
            arena.pause(max(0.0, began + (turn + 1) * EVERY - time.monotonic()))
            name = "abc"[turn % 3]
            arena.places[name].process.wait_until_ready()
            arena.kill(name)
            arena.launch(name)
            turn += 1
            if "minute" not in arena.measured and time.monotonic() > began + WARM_UP:
                _weigh(arena, "minute")
    arena.measured["seconds"] = time.monotonic() - began


def _weigh(arena: Arena, moment: str) -> None:
    """Measure how much memory the survivor holds, in MB."""
    status = Path(f"/proc/{arena.places[SURVIVOR].process.pid}/status").read_text(encoding="ascii")
    (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    arena.measured[moment] = int(kilobytes) / 1024


def flat(arena: Arena, load: Load) -> Remark:
    """The worker that nobody killed has not grown since its first minute."""
    _weigh(arena, "end")
    start, minute, end = (arena.measured[moment] for moment in ("start", "minute", "end"))
    grown = [f"it grew by {end / minute:.2f}"] if end > FLAT * minute else []
    seconds = arena.measured["seconds"]
    pace, rate = seconds / arena.faults["kill"], len(load.jobs) / seconds
    return Remark(
        f"one every {pace:.1f} s; {rate:.0f} jobs/s; RSS of the worker that was never killed "
        f"{start:.0f} MB at the start, {minute:.0f} MB after a minute, {end:.0f} MB at the end",
        grown,
    )

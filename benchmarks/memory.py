"""Whether memory stays flat: over a hundred thousand jobs, over a million lines."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.figures import Ratio, Series
from benchmarks.jobs import AT_ONCE
from benchmarks.orders import hints_at_new, orders
from benchmarks.producers import write
from benchmarks.stage import Stage
from tests.servers.workers import COMMAND, clean_environment
from worker.store import Store, open_database

EARLY, LATE = 10_000, 100_000
SHORT, LONG = 100_000, 1_000_000
PART = 10_000
MB = 1024 * 1024


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield the worker's resident memory late against early, and the import's peak; once each."""
    del repeat  # what grows shows in one run that is long enough
    yield _worker(stage)
    yield _import(stage)


def _worker(stage: Stage) -> Ratio:
    with ExitStack() as stack:
        stub = stack.enter_context(stage.bank())
        database = stack.enter_context(stage.database())
        store = Store(open_database(database))
        stack.callback(store.close)
        worker = stack.enter_context(stage.ours(stub, database))
        seen: dict[int, float] = {}
        for turn in range(LATE // PART):
            brought = hints_at_new(store, orders(turn, count=PART))
            for first in range(0, PART, AT_ONCE):
                worker.queue.fill(brought[first : first + AT_ONCE])
                worker.queue.drain()
            seen[(turn + 1) * PART] = worker.memory() / MB
    early, late = (Series("", "MB", [seen[jobs]]) for jobs in (EARLY, LATE))
    return Ratio(f"memory: after {LATE:,} jobs, after {EARLY:,}", late, early, most=1.05)


def _import(stage: Stage) -> Ratio:
    peaks = [_peak_of_import(stage, lines) for lines in (SHORT, LONG)]
    short, long = (Series("", "MB", [peak]) for peak in peaks)
    return Ratio(f"memory: an import of {LONG:,} lines, of {SHORT:,}", long, short, most=1.05)


def _peak_of_import(stage: Stage, lines: int) -> float:
    file = stage.folder / f"orders-{lines}.jsonl"
    # Not all at once: what this process holds counts as the child's until that runs its program.
    for turn in range(lines // PART):
        write(file, orders(turn, count=PART))
    with stage.database() as database:
        settings = stage.settings(database, stage.queue("cancel", "cancel"))
        process = subprocess.Popen(
            [*COMMAND, "import", str(file)],
            env=clean_environment() | settings,
            cwd=stage.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
    file.unlink()
    assert status == 0, f"the import ended with {status}"
    return used.ru_maxrss / 1024

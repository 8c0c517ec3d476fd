"""Jobs in a second where the bank needs its time: one worker process, and two on one queue."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks import bare
from benchmarks.figures import Ratio, Series
from benchmarks.orders import hints_at_new, orders, wait_until_done
from benchmarks.queues import Queue
from benchmarks.stage import CONCURRENCY, Stage
from worker.store import Store, open_database

LATENCY = 0.2
ROUNDS = 30
"""How many calls each thread has to make in a turn."""


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield the pace of one worker and of two, held against the bare POST and against the ideal."""
    with ExitStack() as stack:
        stub = stack.enter_context(stage.bank(LATENCY))
        database = stack.enter_context(stage.database())
        store = Store(open_database(database))
        stack.callback(store.close)
        for processes in (1, 2):
            count = processes * CONCURRENCY * ROUNDS
            with ExitStack() as workers:
                post = workers.enter_context(stage.bare(stub, bare.POST))
                ours = workers.enter_context(stage.ours(stub, database))
                for _ in range(processes - 1):
                    workers.enter_context(stage.bare(stub, bare.POST, like=post))
                    workers.enter_context(stage.ours(stub, database, like=ours))
                bare_pace, our_pace = [], []
                for turn in range(repeat + 1):
                    brought = orders(turn, count=count, prefix=f"W{processes}")
                    paces = (
                        pace(post.queue, brought),
                        pace(ours.queue, hints_at_new(store, brought), store),
                    )
                    if turn:
                        bare_pace.append(paces[0])
                        our_pace.append(paces[1])
            ideal = processes * CONCURRENCY / LATENCY
            mine = Series("", "/s", our_pace)
            name = f"jobs in a second at {1000 * LATENCY:.0f} ms, {processes} x {CONCURRENCY} calls"
            yield Ratio(name, mine, Series("", "/s", bare_pace), least=0.98)
            yield Ratio(f"{name}: of the ideal", mine, Series("", "/s", [ideal] * repeat))


def pace(queue: Queue, brought: list[dict[str, str]], store: Store | None = None) -> float:
    """Let a worker do what is brought; return its jobs in a second."""
    queue.fill(brought)
    began = time.monotonic()
    queue.drain()
    if store is not None:
        wait_until_done(store)
    return len(brought) / (time.monotonic() - began)

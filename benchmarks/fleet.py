"""Many worker processes on one database: connections, waits for locks, and the pace they reach."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from sqlalchemy import NullPool, create_engine, text

from benchmarks.figures import Ratio, Series
from benchmarks.orders import accept, orders, wait_until_done
from benchmarks.stage import CONCURRENCY, Stage
from worker.store import Store, open_database

LATENCY = 1.0
ROUNDS = 8
"""How many calls each thread has to make in a turn."""
FLEETS = (1, 8, 16)
EVERY_SECONDS = 0.05
MOST_CONNECTIONS = 8.0

_LOOK = text(
    """
    SELECT count(*) AS connections, count(*) FILTER (WHERE wait_event_type = 'Lock') AS waits
    FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'kplus-cancel'
    """
)


@dataclass
class Looks:
    """What was seen of the sessions of a database, look by look."""

    connections: list[int] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield pace, connections a process, and waits for locks, of one process and of many."""
    for processes in FLEETS:
        with ExitStack() as stack:
            stub = stack.enter_context(stage.bank(LATENCY))
            database = stack.enter_context(stage.database())
            store = Store(open_database(database))
            stack.callback(store.close)
            first = stack.enter_context(stage.ours(stub, database))
            for _ in range(processes - 1):
                stack.enter_context(stage.ours(stub, database, like=first))
            count = processes * CONCURRENCY * ROUNDS
            paces: list[float] = []
            connections: list[float] = []
            waits: list[float] = []
            for turn in range(repeat + 1):
                brought = orders(turn, count=count, prefix=f"F{processes}")
                accept(store, brought, hinted=False)
                began = time.monotonic()
                with _looked_at(database) as looks:
                    wait_until_done(store)
                if turn:
                    paces.append(count / (time.monotonic() - began))
                    # This program has a session of its own.
                    connections.append((max(looks.connections) - 1) / processes)
                    waits.append(sum(looks.waits) / sum(looks.connections))
        ideal = Series("", "/s", [processes * CONCURRENCY / LATENCY] * repeat)
        calls = f"{processes} x {CONCURRENCY} calls of {LATENCY:g} s"
        yield Ratio(f"jobs in a second, {calls}: of the ideal", Series("", "/s", paces), ideal)
        one = Series("", "", [1.0] * repeat)
        held = Series("", "a process", connections)
        yield Ratio(f"connections at most, {calls}", held, one, most=MOST_CONNECTIONS)
        share = Series("", "of a session's time", waits)
        yield Ratio(f"waits for a lock, {calls}", share, one, most=0.01)


@contextmanager
def _looked_at(database: str) -> Iterator[Looks]:
    """Look at the sessions of a database again and again, from beside it."""
    looks, over = Looks(), threading.Event()
    engine = create_engine(database, poolclass=NullPool)

    def look() -> None:
        with engine.connect() as connection:
            while not over.wait(EVERY_SECONDS):
                row = connection.execute(_LOOK).one()
                looks.connections.append(row.connections)
                looks.waits.append(row.waits)
                connection.rollback()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()
        engine.dispose()

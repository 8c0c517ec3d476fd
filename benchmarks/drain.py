"""How fast a backlog drains that no message brings: the sweep finds it, and runs do it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks import bare
from benchmarks.figures import Ratio, Series
from benchmarks.latency import pace
from benchmarks.orders import accept, orders, wait_until_done
from benchmarks.stage import Stage
from worker.store import Store, open_database

LATENCY = 0.05
JOBS = 10_000


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield the pace of a backlog, against as many messages for the bare POST."""
    with ExitStack() as stack:
        stub = stack.enter_context(stage.bank(LATENCY))
        database = stack.enter_context(stage.database())
        store = Store(open_database(database))
        stack.callback(store.close)
        post = stack.enter_context(stage.bare(stub, bare.POST))
        stack.enter_context(stage.ours(stub, database))
        bare_pace, our_pace = [], []
        for turn in range(repeat + 1):
            count = JOBS if turn else JOBS // 10
            brought = orders(turn, count=count, prefix="D")
            bare_pace.append(pace(post.queue, brought))
            accept(store, brought, hinted=False)
            began = time.monotonic()
            wait_until_done(store)
            our_pace.append(count / (time.monotonic() - began))
        name = f"jobs in a second at {1000 * LATENCY:.0f} ms, a backlog of {JOBS}"
        mine, theirs = Series("", "/s", our_pace[1:]), Series("", "/s", bare_pace[1:])
        yield Ratio(name, mine, theirs, least=0.95)

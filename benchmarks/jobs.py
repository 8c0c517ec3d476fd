"""What one finished job costs, against bare Celery tasks: processor time and pace."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks import bare
from benchmarks.figures import Ratio, Series
from benchmarks.orders import hints_at, hints_at_new, orders
from benchmarks.stage import Stage, Worker
from tests.servers.waiting import eventually
from worker.store import Store, open_database

JOBS = 2000
AT_ONCE = 400
"""Messages in a queue; beyond four times the conveyor the sweep sends hints of its own (ADR 15)."""


@dataclass
class Contender:
    """A worker, what is done for it before a turn, and what its turns cost."""

    name: str
    worker: Worker
    prepare: Callable[[int], list[dict[str, str]]]
    cpu: list[float] = field(default_factory=list)
    pace: list[float] = field(default_factory=list)

    def turn(self, number: int, *, counts: bool) -> None:
        """Let it do its jobs once."""
        orders = self.prepare(number)
        before, took = self.worker.cpu(), 0.0
        for first in range(0, len(orders), AT_ONCE):
            self.worker.queue.fill(orders[first : first + AT_ONCE])
            began = time.monotonic()
            self.worker.queue.drain()
            took += time.monotonic() - began
        used = self.worker.cpu() - before
        if counts:
            self.cpu.append(1000 * used / len(orders))
            self.pace.append(len(orders) / took)

    def cost(self) -> Series:
        """Return the processor time of a job."""
        return Series(self.name, "ms", self.cpu)


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield the cost of a job, of a delivery too many, and of an order that comes as a message."""
    with ExitStack() as stack:
        stub = stack.enter_context(stage.bank())
        database = stack.enter_context(stage.database())
        store = Store(open_database(database))
        stack.callback(store.close)
        nothing = stack.enter_context(stage.bare(stub, bare.NO_OP))
        posting = stack.enter_context(stage.bare(stub, bare.POST))
        ours = stack.enter_context(stage.ours(stub, database))
        no_op = Contender("no-op", nothing, _orders)
        post = Contender("bare POST", posting, _orders)
        jobs = Contender("job", ours, lambda turn: hints_at_new(store, _orders(turn, "H")))
        again = Contender("finished uid", ours, lambda turn: hints_at(_orders(turn, "H")))
        whole = Contender("order as a message", ours, _orders)
        whole_again = Contender("finished order", ours, _orders)
        for turn in range(repeat + 1):
            for each in (no_op, post, jobs, again, whole, whole_again):
                each.turn(turn, counts=turn > 0)
        # A claim may have been put off, by a partner's first call: the sweep comes back for it.
        every = 2 * JOBS * (repeat + 1)
        eventually(lambda: store.reports.stats().outcomes["cancelled"] == every)
    yield Ratio("processor time: a job", jobs.cost(), post.cost(), most=1.35)
    for each in (again, whole_again):
        what = "a hint at" if each is again else "an order of"
        yield Ratio(f"processor time: {what} a finished uid", each.cost(), no_op.cost(), most=1.5)
    yield Ratio("processor time: an order that comes as a message", whole.cost(), post.cost())
    yield Ratio("processor time: the bare POST itself", post.cost(), no_op.cost())
    yield Ratio("jobs in a second", Series("", "/s", jobs.pace), Series("", "/s", post.pace))


def _orders(turn: int, prefix: str = "B") -> list[dict[str, str]]:
    return orders(turn, count=JOBS, prefix=prefix)

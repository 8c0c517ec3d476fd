"""What one finished job costs, against bare Celery tasks: processor time and pace."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks import bare
from benchmarks.figures import Ratio, Series
from benchmarks.orders import accept, hints_at, hints_at_new, orders, wait_until_done
from benchmarks.stage import Stage, Worker
from tests.servers.waiting import eventually
from worker.store import Store, open_database

JOBS = 2000
AT_ONCE = 400
"""Messages in a queue; beyond four times the conveyor the sweep sends hints of its own (ADR 15)."""
BACKLOG = 1000
"""Jobs that wait in the table without a message each; the sweep finds them, and runs do them."""


@dataclass
class Contender:
    """A worker, what is done for it before a turn, and what its turns cost."""

    name: str
    worker: Worker
    prepare: Callable[[int], list[dict[str, str]]]
    store: Store | None = None
    is_backlog: bool = False
    cpu: list[float] = field(default_factory=list)
    pace: list[float] = field(default_factory=list)

    def turn(self, number: int, *, counts: bool) -> None:
        """Let it do its jobs once."""
        orders = self.prepare(number)
        before, took = self.worker.cpu(), 0.0
        at_once = BACKLOG if self.is_backlog else AT_ONCE
        for first in range(0, len(orders), at_once):
            some = orders[first : first + at_once]
            if self.is_backlog and self.store is not None:
                accept(self.store, some, hinted=False)
            else:
                self.worker.queue.fill(some)
            began = time.monotonic()
            self.worker.queue.drain()
            if self.store is not None and (self.is_backlog or first + at_once >= len(orders)):
                # Redis does not say when a hint has been worked off.
                wait_until_done(self.store)
            took += time.monotonic() - began
        self.worker.wait_until_idle()
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
        backlog = Contender(
            "job of a backlog", ours, lambda turn: _orders(turn, "L"), store, is_backlog=True
        )
        jobs = Contender("job", ours, lambda turn: hints_at_new(store, _orders(turn, "H")), store)
        again = Contender("finished uid", ours, lambda turn: hints_at(_orders(turn, "H")))
        whole = Contender("order as a message", ours, _orders)
        whole_again = Contender("finished order", ours, _orders)
        for turn in range(repeat + 1):
            for each in (no_op, post, backlog, jobs, again, whole, whole_again):
                each.turn(turn, counts=turn > 0)
        # A claim may have been put off, by a partner's first call: the sweep comes back for it.
        every = 3 * JOBS * (repeat + 1)
        eventually(lambda: store.reports.stats().outcomes["cancelled"] == every)
    yield Ratio(f"processor time: a job of {BACKLOG}", backlog.cost(), post.cost(), most=0.75)
    yield Ratio("processor time: a job by its own hint", jobs.cost(), post.cost(), most=1.35)
    for each in (again, whole_again):
        what = "a hint at" if each is again else "an order of"
        yield Ratio(f"processor time: {what} a finished uid", each.cost(), no_op.cost(), most=1.2)
    yield Ratio(
        "processor time: an order that comes as a message", whole.cost(), post.cost(), most=1.3
    )
    yield Ratio("processor time: the bare POST itself", post.cost(), no_op.cost())
    yield Ratio("jobs in a second", Series("", "/s", jobs.pace), Series("", "/s", post.pace))


def _orders(turn: int, prefix: str = "B") -> list[dict[str, str]]:
    return orders(turn, count=JOBS, prefix=prefix)

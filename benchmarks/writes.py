"""What one job costs PostgreSQL, by the way it comes: processor time, log, entries, dead rows."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.figures import Ratio, Series
from benchmarks.orders import accept, hints_at_new, orders, wait_until_done
from benchmarks.postgres import Meter, Spent
from benchmarks.stage import Stage, Worker
from worker.store import Store, open_database

JOBS = 800
AT_ONCE = 400
"""Messages in a queue; with more the sweep sends hints of its own (ADR 15)."""
MOST_CPU = 0.55
MOST_WAL = 1900.0


@dataclass
class Way:
    """A way by which jobs come, and what PostgreSQL spent on them in its turns."""

    name: str
    prefix: str
    bring: Callable[[list[dict[str, str]]], object]
    spent: list[Spent] = field(default_factory=list)

    def turn(self, number: int, meter: Meter, worker: Worker, store: Store) -> Spent:
        """Let the jobs come and be done; return what was spent."""
        brought = orders(number, count=JOBS, prefix=self.prefix)
        meter.begin()
        for first in range(0, JOBS, AT_ONCE):
            self.bring(brought[first : first + AT_ONCE])
            worker.queue.drain()
            wait_until_done(store)
        worker.wait_until_idle()
        return meter.spent()

    def series(self, figure: str, unit: str, *, scale: float = 1.0) -> Series:
        """Return one figure of a job."""
        each = [scale * getattr(one, figure) / JOBS for one in self.spent]
        return Series(self.name, unit, each)


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield what a job costs PostgreSQL: of a backlog, by its own hint, as a message."""
    with ExitStack() as stack:
        stub = stack.enter_context(stage.bank())
        database = stack.enter_context(stage.database())
        store = Store(open_database(database))
        stack.callback(store.close)
        worker = stack.enter_context(stage.ours(stub, database))
        ways = [
            Way("a job of a backlog", "YL", lambda some: accept(store, some, hinted=False)),
            Way(
                "a job by its own hint",
                "YH",
                lambda some: worker.queue.fill(hints_at_new(store, some)),
            ),
            Way("an order that comes as a message", "YB", worker.queue.fill),
        ]
        meter = Meter(database, postmaster=stage.postmaster)
        for turn in range(repeat + 1):
            for way in ways:
                spent = way.turn(turn, meter, worker, store)
                if turn:
                    way.spent.append(spent)
    for way in ways:
        yield from _ratios(way, repeat)


def _ratios(way: Way, repeat: int) -> Iterator[Ratio]:
    cpu, wal = way.series("cpu", "ms", scale=1000), way.series("wal", "bytes")
    yield Ratio(
        f"PostgreSQL, processor time: {way.name}", cpu, _bar(MOST_CPU, "ms", repeat), most=1
    )
    yield Ratio(f"PostgreSQL, log: {way.name}", wal, _bar(MOST_WAL, "bytes", repeat), most=1)
    one = _bar(1, "job", repeat)
    for figure, unit in (
        ("entries", "index entries"),
        ("dead", "dead rows"),
        ("hot", "HOT updates"),
    ):
        yield Ratio(f"PostgreSQL, {unit}: {way.name}", way.series(figure, unit), one)


def _bar(value: float, unit: str, repeat: int) -> Series:
    return Series("", unit, [value] * repeat)

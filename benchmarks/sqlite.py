"""What one finished job costs on SQLite, whose writer is one, against the bare POST."""

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks import bare
from benchmarks.figures import Ratio, Series
from benchmarks.jobs import Contender
from benchmarks.orders import hints_at_new, orders
from benchmarks.stage import Stage
from tests.servers.schema import migrate
from worker.store import Store, open_database

JOBS = 1000


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield the cost and the pace of a job, of a backlog and by its own hint."""
    with ExitStack() as stack:
        stub = stack.enter_context(stage.bank())
        database = f"sqlite:///{stage.folder / 'bench.db'}"
        migrate(database)
        store = Store(open_database(database))
        stack.callback(store.close)
        posting = stack.enter_context(stage.bare(stub, bare.POST))
        ours = stack.enter_context(stage.ours(stub, database))
        post = Contender("bare POST", posting, lambda turn: _orders(turn, "B"))
        backlog = Contender(
            "job of a backlog", ours, lambda turn: _orders(turn, "L"), store, is_backlog=True
        )
        hinted = Contender("job", ours, lambda turn: hints_at_new(store, _orders(turn, "H")), store)
        for turn in range(repeat + 1):
            for each in (post, backlog, hinted):
                each.turn(turn, counts=turn > 0)
    for each in (backlog, hinted):
        yield Ratio(f"processor time on SQLite: a {each.name}", each.cost(), post.cost())
    for each in (backlog, hinted):
        yield Ratio(
            f"jobs in a second on SQLite: a {each.name}",
            Series("", "/s", each.pace),
            Series("", "/s", post.pace),
        )


def _orders(turn: int, prefix: str) -> list[dict[str, str]]:
    return orders(turn, count=JOBS, prefix=prefix)

"""Jobs in a second while the receiver of outcomes hangs, against a worker that tells nobody."""

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.figures import Ratio, Series
from benchmarks.latency import LATENCY, ROUNDS, pace
from benchmarks.orders import hints_at_new, orders
from benchmarks.stage import CONCURRENCY, Stage
from worker.store import Store, open_database

FOR_EVER = 3600.0
SECRET = "whsec_a3BsdXMtY2FuY2VsLWJlbmNobWFyay1zZWNyZXQ="  # noqa: S105 -- nobody checks it


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield the pace of a worker whose every delivery hangs, held against one without a webhook."""
    with ExitStack() as stack:
        stub, receiver = (stack.enter_context(stage.bank(after)) for after in (LATENCY, FOR_EVER))
        telling = {"KPLUS_WEBHOOK_URL": receiver.url, "KPLUS_WEBHOOK_SECRET": SECRET}
        contenders = []
        for settings in (telling, {}):
            database = stack.enter_context(stage.database())
            store = Store(open_database(database))
            stack.callback(store.close)
            worker = stack.enter_context(stage.ours(stub, database, settings=settings))
            contenders.append((worker, store, list[float]()))
        for turn in range(repeat + 1):
            for worker, store, paces in contenders:
                hints = hints_at_new(store, orders(turn, count=CONCURRENCY * ROUNDS))
                reached = pace(worker.queue, hints)
                if turn:
                    paces.append(reached)
    told, untold = (Series("", "/s", paces) for *_, paces in contenders)
    name = f"jobs in a second at {1000 * LATENCY:.0f} ms, the webhook's receiver hangs"
    yield Ratio(name, told, untold, least=0.95)

"""What it costs to tell outcomes, and what a receiver that hangs costs the others."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from sqlalchemy import func, select

from benchmarks.figures import Ratio, Series
from benchmarks.jobs import Contender
from benchmarks.latency import LATENCY, ROUNDS, pace
from benchmarks.orders import hints_at_new, orders
from benchmarks.stage import CONCURRENCY, Stage
from benchmarks.stub import hangs
from tests.integration.relaying import end
from tests.servers.waiting import eventually
from worker.domain.destinations import Destination
from worker.domain.events import OutboxState, event_id
from worker.store import Store, open_database
from worker.store.schema.tables import outbox

FOR_EVER = 3600.0
ONE_IN = 10
EVENTS = 3000
TOLD = 1000
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
                reached = pace(worker.queue, hints, store)
                if turn:
                    paces.append(reached)
    yield from _one_in_ten(stage, repeat)
    yield _cost(stage, repeat)
    told, untold = (Series("", "/s", paces) for *_, paces in contenders)
    name = f"jobs in a second at {1000 * LATENCY:.0f} ms, the webhook's receiver hangs"
    yield Ratio(name, told, untold, least=0.95)


def _cost(stage: Stage, repeat: int) -> Ratio:
    """Return the processor time of a job of a backlog whose outcome is told, and of one's not."""
    with ExitStack() as stack:
        bank, receiver = (stack.enter_context(stage.bank()) for _ in range(2))
        telling = {"KPLUS_WEBHOOK_URL": receiver.url, "KPLUS_WEBHOOK_SECRET": SECRET}
        contenders = []
        for prefix, settings in (("W", telling), ("N", {})):
            database = stack.enter_context(stage.database())
            store = Store(open_database(database))
            stack.callback(store.close)
            worker = stack.enter_context(stage.ours(bank, database, settings=settings))
            prepare = partial(orders, count=TOLD, prefix=prefix)
            contenders.append(Contender(prefix, worker, prepare, store, is_backlog=True))
        for turn in range(repeat + 1):
            for each in contenders:
                each.turn(turn, counts=turn > 0)
    told, untold = (each.cost() for each in contenders)
    return Ratio("processor time: a job whose outcome is told by webhook", told, untold)


def _one_in_ten(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield how fast the other events are told while one in ten is never answered."""
    paces: dict[int, list[float]] = {ONE_IN: [], 0: []}
    for turn in range(repeat):
        for one_in, series in paces.items():
            series.append(_told_in_a_second(stage, turn, one_in))
    ill, well = (Series("", "/s", series) for series in paces.values())
    name = "events told in a second, one in ten is never answered"
    yield Ratio(name, ill, well, least=0.9)


def _told_in_a_second(stage: Stage, turn: int, one_in: int) -> float:
    with ExitStack() as stack:
        receiver = stack.enter_context(stage.bank(one_in=one_in))
        database = stack.enter_context(stage.database())
        store = Store(open_database(database), destinations=[Destination.WEBHOOK])
        stack.callback(store.close)
        uids = [f"E{turn}x{number:05}" for number in range(EVENTS)]
        end(store, *uids)
        ids = [event_id(uid, 1) for uid in uids]
        well = {each for each in ids if not one_in or not hangs({"id": each}, one_in)}
        telling = {"KPLUS_WEBHOOK_URL": receiver.url, "KPLUS_WEBHOOK_SECRET": SECRET}
        bank = stack.enter_context(stage.bank())
        stack.enter_context(stage.ours(bank, database, settings=telling))
        began = time.monotonic()
        before = _delivered(store)
        eventually(lambda: _delivered(store) >= len(well), within=600)
        return (len(well) - before) / (time.monotonic() - began)


def _delivered(store: Store) -> int:
    ((count,),) = store.database.read(
        select(func.count()).where(outbox.c.state == OutboxState.DELIVERED)
    )
    return int(count)

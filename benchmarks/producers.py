"""How fast orders come in: in bulk, from a file, one by one, and as bare messages."""

import gc
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from celery import Celery

from benchmarks import bare
from benchmarks.figures import Ratio, Series
from benchmarks.orders import orders
from benchmarks.stage import Stage
from tests.servers.workers import COMMAND, clean_environment
from worker.config.settings import load_settings
from worker.enqueue import Producer

MANY = 100_000
FEW = 2_000

Order = dict[str, str]


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield the pace of `enqueue_many` and of `import`, against the slower doors."""
    rates: dict[Callable[[Doors, int], float], list[float]] = {
        Doors.messages: [],
        Doors.loop: [],
        Doors.many: [],
        Doors.imported: [],
    }
    with_start: list[float] = []
    for turn in range(repeat + 1):
        # Each turn begins with empty tables: what is compared are doors, not sizes.
        with stage.database() as database:
            doors = Doors(stage, database)
            for door, paces in rates.items():
                pace = door(doors, turn)
                if turn:
                    paces.append(pace)
            if turn:
                took = MANY / rates[Doors.imported][-1] + doors.starts[-1]
                with_start.append(MANY / took)
            doors.close()
    named = {door: Series(door.__name__, "/s", paces) for door, paces in rates.items()}
    messages, loop, many, imported = named.values()
    yield Ratio("orders in a second: `enqueue_many`", many, loop, least=10)
    yield Ratio("orders in a second: `import`, its start apart", imported, many, least=0.8)
    whole = Series("", "/s", with_start)
    yield Ratio("orders in a second: `import`, from its start on", whole, many)
    yield Ratio("orders in a second: a loop of `enqueue_cancel`", loop, messages)
    yield Ratio("orders in a second: `enqueue_many`, bare messages", many, messages)


class Doors:
    """The ways in, into one database; each returns its orders in a second."""

    def __init__(self, stage: Stage, database: str) -> None:
        self._stage = stage
        self._settings = stage.settings(database, stage.queue("cancel", "cancel"))
        names = {name.removeprefix("KPLUS_").lower(): each for name, each in self._settings.items()}
        self._producer = Producer(load_settings(**names))
        self.starts: list[float] = []

    def messages(self, turn: int) -> float:
        """Publish with Celery alone: a message an order, and no row."""
        with Celery("bare", broker=self._settings["KPLUS_BROKER_URL"]) as app:
            return _pace(
                FEW,
                lambda: [
                    app.send_task(bare.POST, kwargs=order, queue=bare.QUEUE)
                    for order in orders(turn, count=FEW)
                ],
            )

    def loop(self, turn: int) -> float:
        """Enqueue one after another."""
        brought = _named(orders(turn, count=FEW, prefix="L"))
        return _pace(FEW, lambda: [self._producer.enqueue(order) for order in brought])

    def many(self, turn: int) -> float:
        """Enqueue in bulk."""
        brought = _named(orders(turn, count=MANY, prefix="M"))
        return _pace(MANY, lambda: sum(1 for _ in self._producer.enqueue_many(brought)))

    def imported(self, turn: int) -> float:
        """Import a file with the command; its start, as long as a file of one line takes, apart."""
        start = self._import(orders(turn, count=1, prefix="S"))
        whole = self._import(orders(turn, count=MANY, prefix="I"))
        self.starts.append(start)
        return MANY / (whole - start)

    def _import(self, brought: list[Order]) -> float:
        file = self._stage.folder / "orders.jsonl"
        write(file, brought)
        began = time.monotonic()
        subprocess.run(
            [*COMMAND, "import", str(file)],
            env=clean_environment() | self._settings,
            cwd=self._stage.folder,
            check=True,
            capture_output=True,
        )
        took = time.monotonic() - began
        file.unlink()
        return took

    def close(self) -> None:
        """Close the producer's connections."""
        self._producer.close()


def write(file: Path, brought: list[Order]) -> None:
    """Write orders as JSON Lines, behind what stands there."""
    with file.open("a") as lines:
        lines.writelines(json.dumps(order) + "\n" for order in brought)


def _named(brought: list[Order]) -> list[Order]:
    """Return the orders as Python callers name their fields."""
    names = {"partnerTxnUid": "partner_txn_uid", "partnerId": "partner_id", "tokenId": "token_id"}
    return [{names.get(name, name): value for name, value in each.items()} for each in brought]


def _pace(count: int, enqueue: Callable[[], object]) -> float:
    gc.collect()
    began = time.monotonic()
    enqueue()
    return count / (time.monotonic() - began)

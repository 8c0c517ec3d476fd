"""How long it takes until a worker takes messages, and until `show` has answered."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks import bare
from benchmarks.figures import Ratio, Series
from benchmarks.orders import hints_at_new, orders
from benchmarks.stage import Stage
from tests.servers.workers import COMMAND, clean_environment
from worker.store import Store, open_database


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield the start of our worker against a bare one's, and `show` against Python alone."""
    took: dict[str, list[float]] = {"ours": [], "bare": [], "show": [], "python": []}
    with ExitStack() as stack:
        stub = stack.enter_context(stage.bank())
        database = stack.enter_context(stage.database())
        store = Store(open_database(database))
        stack.callback(store.close)
        (job,) = hints_at_new(store, orders(0, count=1))
        settings = stage.settings(database, stage.queue("cancel", "cancel"))
        environment = clean_environment() | settings
        show = [*COMMAND, "show", job["partnerTxnUid"], "--json"]

        def run(command: list[str]) -> None:
            subprocess.run(
                command, env=environment, cwd=stage.folder, check=True, capture_output=True
            )

        for turn in range(repeat + 1):
            began = [time.monotonic()]
            with stage.ours(stub, database):
                began.append(time.monotonic())
            began.append(time.monotonic())
            with stage.bare(stub, bare.POST):
                began.append(time.monotonic())
            began.append(time.monotonic())
            run(show)
            began.append(time.monotonic())
            run([sys.executable, "-c", "import celery, httpx, sqlalchemy"])
            began.append(time.monotonic())
            if turn:
                for name, first in (("ours", 0), ("bare", 2), ("show", 4), ("python", 5)):
                    took[name].append(began[first + 1] - began[first])
    seconds = {name: Series(name, "s", each) for name, each in took.items()}
    yield Ratio("start: a worker", seconds["ours"], seconds["bare"])
    yield Ratio("start: `show`, Python with the libraries", seconds["show"], seconds["python"])

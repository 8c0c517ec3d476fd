"""Whether a partner's rate is kept: the most calls within any second, against the rate."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from benchmarks.figures import Ratio, Series
from benchmarks.stage import Stage
from tests.servers.rush import CALLERS, slots_of_a_rush
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, SECRET, WorkerProcess
from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN
from worker.sandbox import Sandbox
from worker.sandbox.journal import busiest_second
from worker.store import Store, open_database

RATES = (5, 50)
SECONDS = 60
WORKERS = 4
WAITING = 5_000
OUTAGE = timedelta(seconds=20)


def measure(stage: Stage, _repeat: int) -> Iterator[Ratio]:
    """Yield the most calls within a second: at the gate, at the bank, and after an outage."""
    for rate in RATES:
        bar = round((rate + 1) / rate, 2)
        with stage.database() as url:
            at_gate = _at_the_gate(url, rate)
        kept = Series("the rate", "/s", [rate])
        name = f"most calls in a second, {rate}/s: slots of {CALLERS} threads at the gate"
        yield Ratio(name, Series("at the gate", "calls", [at_gate]), kept, most=bar)
        for outage in (False, True):
            at_bank = _workers(stage, rate, outage=outage)
            when = f"after an outage, {WAITING:,} waiting" if outage else "as they come"
            name = f"most calls in a second, {rate}/s: {WORKERS} workers at the bank, {when}"
            yield Ratio(name, Series("at the bank", "calls", [at_bank]), kept, most=bar)


def _at_the_gate(url: str, rate: int) -> int:
    """Return the most slots in a second that many threads were given."""
    database = open_database(url, connections=CALLERS)
    try:
        return busiest_second(slots_of_a_rush(database, rate=rate, seconds=SECONDS))
    finally:
        database.close()


def _workers(stage: Stage, rate: int, *, outage: bool) -> int:
    """Return the most calls that came to the bank in a second, from several workers."""
    with ExitStack() as stack:
        url = stack.enter_context(stage.database())
        bank = stack.enter_context(Sandbox(secrets={PARTNER_ID: SECRET}))
        folder = Path(tempfile.mkdtemp(dir=stage.folder))
        file = folder / "partners.toml"
        secret = f'secret = "{SECRET}"\nrate_per_second = {rate}\n'
        file.write_text(f"[partners.{PARTNER_ID}]\n{secret}")
        file.chmod(0o600)
        queue = stage.queue(CANCEL_QUEUE, CANCEL_TOKEN)
        settings = stage.settings(url, queue, bank=bank.cancel_url)
        settings = {name: each for name, each in settings.items() if "PARTNER" not in name}
        settings["KPLUS_PARTNERS_FILE"] = str(file)
        store = Store(open_database(url))
        stack.callback(store.close)
        for number in range(WAITING):
            uid = f"R{number:05}"
            order = {"partner_id": PARTNER_ID, "token_id": f"ok-{uid}", "reference1": "R"}
            store.jobs.accept({"uid": uid, **order, "expires_at": None}, hinted=False)
        if outage:
            bank.change_rules(mode="down", for_seconds=OUTAGE.total_seconds())
        for number in range(WORKERS):
            process = WorkerProcess(settings, folder / f"worker-{number}")
            stack.callback(process.close)
            process.wait_until_ready()
        enough = rate * SECONDS * 0.8
        eventually(lambda: store.reports.stats().states["succeeded"] >= enough, within=4 * SECONDS)
        return bank.journal.busiest_second()

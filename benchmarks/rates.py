"""Whether a partner's rate is kept: the most calls within any second, against the rate."""

import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from sqlalchemy import select, text

from benchmarks.figures import Ratio, Series
from benchmarks.stage import Stage
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, SECRET, WorkerProcess
from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN
from worker.domain.claims import Claim, ClaimKind
from worker.domain.kplus import CancelRequest
from worker.domain.partners import Partner
from worker.sandbox import Sandbox
from worker.store import Database, Store, open_database
from worker.store.partners.gate import Gate
from worker.store.schema.tables import partners

RATES = (5, 50)
SECONDS = 60
CALLERS = 64
WORKERS = 4
WAITING = 5_000
OUTAGE = timedelta(seconds=20)


def measure(stage: Stage, _repeat: int) -> Iterator[Ratio]:
    """Yield the most calls within a second: at the gate, at the bank, and after an outage."""
    for rate in RATES:
        bar = round((rate + 1) / rate, 2)
        with stage.database() as url:
            at_gate = _busiest(_rush(url, rate))
        kept = Series("the rate", "/s", [rate])
        name = f"most calls in a second, {rate}/s: slots of {CALLERS} threads at the gate"
        yield Ratio(name, Series("at the gate", "calls", [at_gate]), kept, most=bar)
        for outage in (False, True):
            at_bank = _workers(stage, rate, outage=outage)
            when = f"after an outage, {WAITING:,} waiting" if outage else "as they come"
            name = f"most calls in a second, {rate}/s: {WORKERS} workers at the bank, {when}"
            yield Ratio(name, Series("at the bank", "calls", [at_bank]), kept, most=bar)


def _rush(url: str, rate: int) -> list[float]:
    """Return the slots of callers that come to the gate again and again."""
    database = open_database(url, connections=CALLERS)
    gate, numbers = Gate(database), count()
    partner = Partner(
        partner_id="P1", secret=SECRET, bank_url="http://127.0.0.1:9/", rate_per_second=rate
    )
    with database.writing() as connection:
        connection.execute(
            text("INSERT INTO partners (partner_id, proven_at) VALUES ('P1', now())")
        )
    until = time.monotonic() + SECONDS

    def call(_number: int) -> list[float]:
        given = []
        while time.monotonic() < until:
            slot_at = _slot(database, gate, partner, f"L{next(numbers)}")
            given += [slot_at] if slot_at is not None else []
        return given

    with ThreadPoolExecutor(CALLERS) as threads:
        slots = [at for given in threads.map(call, range(CALLERS)) for at in given]
    database.close()
    return sorted(slots)


def _slot(database: Database, gate: Gate, partner: Partner, lease_id: str) -> float | None:
    now = datetime.now(UTC)
    claim = Claim(
        request=CancelRequest(lease_id, partner.partner_id, "T", "R"),
        lease_id=lease_id,
        number=1,
        kind=ClaimKind.CANCEL,
        attempts=1,
        doubted=False,
        created_at=now,
        expires_at=None,
        started_at=now,
        lease_ends_at=now + timedelta(seconds=60),
    )
    with database.writing() as connection:
        if gate.enter(connection, claim, partner) is None:
            return None
        at: datetime = connection.execute(select(partners.c.slot_at)).scalar_one()
        return at.timestamp()


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


def _busiest(times: Iterable[float]) -> int:
    window: deque[float] = deque()
    most = 0
    for at in times:
        window.append(at)
        while window[0] <= at - 1:
            window.popleft()
        most = max(most, len(window))
    return most

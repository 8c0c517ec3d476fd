"""A partner's rate holds, however many callers come to its gate at the same moment."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Final

import pytest
from sqlalchemy import select

from tests.integration.conftest import OpenStore
from tests.integration.stock import LEASE, accept, execute
from worker.domain.claims import Claim, ClaimKind
from worker.domain.kplus import CancelRequest
from worker.domain.partners import Partner
from worker.store import Database
from worker.store.partners.gate import Gate
from worker.store.schema.tables import partners

CALLERS: Final = 64
SECONDS: Final = 2.0


def limited(rate: float) -> Partner:
    url = "http://127.0.0.1:9/cancel"
    return Partner(partner_id="P1", secret="s3cret", bank_url=url, rate_per_second=rate)


def most_in_a_second(times: list[datetime]) -> int:
    second = timedelta(seconds=1)
    return max((sum(at - second < other <= at for other in times) for at in times), default=0)


def a_claim(lease_id: str) -> Claim:
    now = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
    return Claim(
        request=CancelRequest("U1", "P1", "T", "R"),
        lease_id=lease_id,
        number=1,
        kind=ClaimKind.CANCEL,
        attempts=1,
        doubted=False,
        created_at=now,
        expires_at=None,
        started_at=now,
        lease_ends_at=now + LEASE,
    )


class Rush:
    """Callers that come to the gate again and again, and the slots that they were given."""

    def __init__(self, database: Database, partner: Partner) -> None:
        self._database = database
        self._gate = Gate(database)
        self._partner = partner
        self._start = Barrier(CALLERS)

    def run(self) -> list[datetime]:
        with ThreadPoolExecutor(CALLERS) as threads:
            return [at for given in threads.map(self._call, range(CALLERS)) for at in given]

    def _call(self, number: int) -> list[datetime]:
        self._start.wait()
        until, given = time.monotonic() + SECONDS, []
        while time.monotonic() < until:
            with self._database.writing() as connection:
                if self._gate.enter(connection, a_claim(f"L{number}"), self._partner) is None:
                    continue
                # Its row is still locked by this transaction: nobody has taken the next one.
                given.append(connection.execute(select(partners.c.slot_at)).scalar_one())
        return given


@pytest.mark.parametrize("rate", [5, 50])
def test_the_gate_keeps_a_rate_under_contention(open_store: OpenStore, rate: int) -> None:
    """A statement that began earlier and came to the row later took the slots of the others."""
    store = open_store(connections=CALLERS)
    accept(store, "U1")
    execute(
        store,
        "INSERT INTO partners (partner_id, proven_at) VALUES ('P1', :now)",
        now=store.database.times["now"] or datetime.now().astimezone(),
    )
    slots = Rush(store.database, limited(rate)).run()
    assert most_in_a_second(slots) <= rate + 1
    assert len(slots) >= SECONDS

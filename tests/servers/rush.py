"""Callers that come to a partner's gate again and again, all at the same moment."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Barrier
from typing import Final

from sqlalchemy import select, text

from worker.domain.claims import Claim, ClaimKind
from worker.domain.kplus import CancelRequest
from worker.domain.partners import Partner
from worker.store import Database
from worker.store.partners.gate import Gate
from worker.store.schema.tables import partners

CALLERS: Final = 64


def slots_of_a_rush(database: Database, *, rate: float, seconds: float) -> list[float]:
    """Return the slots that the callers were given within so many seconds of real time."""
    gate, numbers, start = Gate(database), count(), Barrier(CALLERS)
    partner = Partner(
        partner_id="P1", secret="s3cret", bank_url="http://127.0.0.1:9/", rate_per_second=rate
    )
    with database.writing() as connection:
        connection.execute(
            text("INSERT INTO partners (partner_id, proven_at) VALUES ('P1', :now)"),
            {"now": datetime.now(UTC)},
        )

    def call(_number: int) -> list[float]:
        start.wait()
        until, given = time.monotonic() + seconds, []
        while time.monotonic() < until:
            slot_at = _slot(database, gate, partner, f"L{next(numbers)}")
            given += [slot_at] if slot_at is not None else []
        return given

    with ThreadPoolExecutor(CALLERS) as threads:
        return sorted(at for given in threads.map(call, range(CALLERS)) for at in given)


def _slot(database: Database, gate: Gate, partner: Partner, lease_id: str) -> float | None:
    with database.writing() as connection:
        if gate.enter(connection, _claim(lease_id, partner), partner) is None:
            return None
        # The row is still locked by this transaction: nobody has taken the next one.
        at: datetime = connection.execute(select(partners.c.slot_at)).scalar_one()
        return at.timestamp()


def _claim(lease_id: str, partner: Partner) -> Claim:
    now = datetime.now(UTC)
    return Claim(
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

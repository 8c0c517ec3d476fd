"""Orders that nobody has brought before, and jobs made of them."""

from typing import Any

from sqlalchemy import ColumnElement, Select, select, union_all

from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID
from worker.store import Store
from worker.store.schema.tables import JOBS

BATCH = 1000


def orders(turn: int, *, count: int, prefix: str = "B") -> list[dict[str, str]]:
    """Return so many orders, as they come in messages."""
    return [
        {
            "partnerTxnUid": f"{prefix}{turn}x{n:06}",
            "partnerId": PARTNER_ID,
            "tokenId": f"KMCMPT{turn}x{n:06}",
            "reference1": f"order-{n}",
        }
        for n in range(count)
    ]


def hints_at_new(store: Store, brought: list[dict[str, str]]) -> list[dict[str, str]]:
    """Store orders as a producer with the table does; return the hints that it sends."""
    accept(store, brought, hinted=True)
    return hints_at(brought)


def accept(store: Store, brought: list[dict[str, str]], *, hinted: bool) -> None:
    """Store orders; those that are not hinted at are the sweep's to find."""
    for first in range(0, len(brought), BATCH):
        some = brought[first : first + BATCH]
        rows = [
            {
                "uid": each["partnerTxnUid"],
                "partner_id": each["partnerId"],
                "token_id": each["tokenId"],
                "reference1": each["reference1"],
                "expires_at": None,
            }
            for each in some
        ]
        hints = {each["partnerTxnUid"] for each in some} if hinted else set()
        store.bulk.accept(rows, hinted=hints)


def wait_until_done(store: Store) -> None:
    """Wait until no job of the table is open; each look costs PostgreSQL next to nothing."""
    # In the order of an index, or it reads the whole table each time.
    waits = _first(JOBS.next_attempt_at.is_not(None), by=JOBS.next_attempt_at)
    in_flight = _first(JOBS.lease_id.is_not(None), by=JOBS.lease_ends_at)
    is_open = union_all(waits, in_flight)
    eventually(lambda: not store.database.read(is_open), within=600)


def _first(where: ColumnElement[bool], *, by: ColumnElement[Any]) -> Select[Any]:
    first = select(JOBS.partner_txn_uid).where(where).order_by(by).limit(1).subquery()
    return select(first)


def hints_at(brought: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return a hint at each."""
    return [{"partnerTxnUid": each["partnerTxnUid"]} for each in brought]

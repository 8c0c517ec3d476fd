"""Orders that nobody has brought before, and jobs made of them."""

from tests.servers.workers import PARTNER_ID
from worker.store import Store

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
        store.bulk.accept(rows, hinted={each["partnerTxnUid"] for each in some})
    return hints_at(brought)


def hints_at(brought: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return a hint at each."""
    return [{"partnerTxnUid": each["partnerTxnUid"]} for each in brought]

"""What the order system is told: one id for each end, and a body that does not change."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.domain import events

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
JOB: dict[str, Any] = {
    "partner_txn_uid": "RGH001",
    "partner_id": "KP2XXX",
    "token_id": "T1",
    "reference1": "ของลูกค้า",
    "ends": 1,
    "state": "refused",
    "outcome": "paid",
    "token_status": "PAID",
    "status_code": "00",
    "error_code": None,
    "attempts": 2,
    "created_at": NOON,
    "finished_at": NOON + timedelta(seconds=1),
}


def test_the_id_is_the_ends_own_and_always_the_same() -> None:
    """It may never change: order systems remember it, and drop what they know."""
    assert events.event_id("RGH001", 1) == "evt_118269f824d26a6b33c29de986d9c303"
    ids = {events.event_id(uid, end) for uid in ("A", "1:A", "A:1") for end in (1, 2, 11)}
    assert len(ids) == 9


def test_the_body_is_ascii_and_names_things_as_the_bank_does() -> None:
    text = events.body(JOB)
    assert text.isascii()
    assert text == events.body(dict(reversed(JOB.items())))
    told = json.loads(text)
    assert list(told) == ["id", "type", "timestamp", "data"]
    assert told["id"] == events.event_id("RGH001", 1)
    assert (told["type"], told["timestamp"]) == (events.FINISHED, "2026-03-01T12:00:01.000000Z")
    assert list(told["data"]) == list(events.FIELDS)
    assert told["data"]["reference1"] == "ของลูกค้า"
    assert told["data"]["errorCode"] is None

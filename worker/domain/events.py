"""The event that is sent to the order system when a job ends: its id and its body. Pure."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from worker.domain.times import iso

FINISHED: Final = "kplus.cancellation.finished"
FIELDS: Final = {
    "partnerTxnUid": "partner_txn_uid",
    "partnerId": "partner_id",
    "tokenId": "token_id",
    "reference1": "reference1",
    "end": "ends",
    "state": "state",
    "outcome": "outcome",
    "tokenStatus": "token_status",
    "statusCode": "status_code",
    "errorCode": "error_code",
    "attempts": "attempts",
    "acceptedAt": "created_at",
    "finishedAt": "finished_at",
}
"""The fields of an event, in the bank's spelling, and the column of each."""


class OutboxState(StrEnum):
    """Where the delivery of an event stands; a dead one waits for an operator."""

    WAITING = "waiting"
    DEAD = "dead"
    DELIVERED = "delivered"


def event_id(uid: str, end: int) -> str:
    """
    Return the id of a job's first, second … end: the same in every process and at every try.

    A job ends again only after an operator let it try again.
    """
    return f"evt_{hashlib.sha256(f'{end}:{uid}'.encode()).hexdigest()[:32]}"


def event_data(job: Mapping[str, Any]) -> dict[str, object]:
    """Return the data of the event of a job that has ended; it holds no secret."""
    return {field: _plain(job[column]) for field, column in FIELDS.items()}


def body(job: Mapping[str, Any]) -> str:
    """Return the event of a job's end as JSON: the same bytes at every try, in ASCII."""
    event = {
        "id": event_id(job["partner_txn_uid"], job["ends"]),
        "type": FINISHED,
        "timestamp": iso(job["finished_at"]),
        "data": event_data(job),
    }
    return json.dumps(event, separators=(",", ":"))


def _plain(value: object) -> object:
    return iso(value) if isinstance(value, datetime) else value

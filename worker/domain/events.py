"""What the order system is told when a job has ended: the event's id, and its body. Pure."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from worker.domain.times import iso

FINISHED: Final = "kplus.cancellation.finished"
WORDS: Final = {
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
"""What is told of a job, in the bank's spelling, and the column that it comes from."""


def event_id(uid: str, end: int) -> str:
    """
    Return the id of a job's first, second … end: the same whoever tells it, and however often.

    A job ends again only after an operator's requeue.
    """
    return f"evt_{hashlib.sha256(f'{end}:{uid}'.encode()).hexdigest()[:32]}"


def told(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the order system is told of a job that has ended; it holds no secret."""
    return {word: _plain(job[column]) for word, column in WORDS.items()}


def body(job: Mapping[str, Any]) -> str:
    """Return the event of a job's end as JSON: the same bytes at every try, in ASCII."""
    event = {
        "id": event_id(job["partner_txn_uid"], job["ends"]),
        "type": FINISHED,
        "timestamp": iso(job["finished_at"]),
        "data": told(job),
    }
    return json.dumps(event, separators=(",", ":"))


def _plain(value: Any) -> Any:
    return iso(value) if isinstance(value, datetime) else value

"""What is said of a job that was pruned."""

from datetime import datetime
from typing import Any

from worker.domain.states import Outcome
from worker.explain import Row
from worker.explain.meanings import ENDS
from worker.explain.text import moment

NEXT = (
    "Nothing: the same order again is a duplicate, other content under this uid a conflict. "
    "Its attempts were removed with it."
)


def pruned_job(tombstone: Row, now: datetime) -> str:
    """Return what a pruned job was, in a sentence."""
    ended, pruned = moment(tombstone["finished_at"], now), moment(tombstone["pruned_at"], now)
    state, outcome = tombstone["state"], tombstone["outcome"]
    return f"{state}, outcome {outcome}, since {ended}; pruned {pruned}. {ENDS[Outcome(outcome)]}"


def pruned_document(tombstone: Row, now: datetime) -> dict[str, Any]:
    """Return the explanation of a pruned job, with the keys of any other."""
    return {
        "partner_txn_uid": tombstone["partner_txn_uid"],
        "state": tombstone["state"],
        "outcome": tombstone["outcome"],
        "stands": pruned_job(tombstone, now),
        "happened": [],
        "next": NEXT,
        "next_at": None,
        "acts": [],
    }

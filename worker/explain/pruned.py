"""What is said of a job that was pruned."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from worker.domain.states import Outcome
from worker.explain.meanings import ENDS
from worker.explain.text import moment

NEXT = (
    "Nothing: the same order again is a duplicate, other content under this uid a conflict. "
    "Its attempts were removed with it."
)


def was(left: Mapping[str, Any], now: datetime) -> str:
    """Return what a pruned job was, in a sentence."""
    ended, pruned = moment(left["finished_at"], now), moment(left["pruned_at"], now)
    ends = ENDS[Outcome(left["outcome"])]
    return f"{left['state']}, outcome {left['outcome']}, since {ended}; pruned {pruned}. {ends}"

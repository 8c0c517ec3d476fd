"""What a `Retry-After` is worth: a time that the bank named, or a slip that is only shown."""

from dataclasses import replace
from datetime import timedelta

from worker.domain.answer import Answer
from worker.domain.decision import Decision
from worker.domain.retry_after import believed

MOST_SHOWN = 80


def advised(decision: Decision, answer: Answer, *, longest: timedelta) -> Decision:
    """
    Keep a time that the bank named, and drop a slip: then our own waits count.

    The reason of an undecided job says what was sent, believed or not.
    """
    wait = believed(answer.retry_after, longest)
    kept = replace(decision, retry_after=wait)
    sent = answer.retry_after_text or str(answer.retry_after or "")
    if not sent or decision.outcome is not None:
        return kept
    note = f"Retry-After: {sent[:MOST_SHOWN]}"
    if wait is None:
        note = f"{note} is no time to wait for (at most {longest} is believed), so ours counts"
    return replace(kept, reason=f"{decision.reason}; {note}")

"""
The states of a cancel job, its outcomes, and the only arrows between them.

`store` derives the guard of every statement that writes `state` from TRANSITIONS,
the tables derive their CHECKs from it, and the diagram in the docs is printed from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a job stands. Ours; the bank's own word is `token_status`."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    RETRYABLE = "retryable"
    IN_DOUBT = "in_doubt"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    EXHAUSTED = "exhausted"


class Outcome(StrEnum):
    """What the order system acts on; none until the job is final."""

    CANCELLED = "cancelled"
    ALREADY_CANCELLED = "already_cancelled"
    EXPIRED = "expired"
    PAID = "paid"
    REFUSED = "refused"
    LAPSED = "lapsed"
    GAVE_UP = "gave_up"
    UNKNOWN = "unknown"


class Event(StrEnum):
    """What can happen to a job."""

    CLAIM = "claim"
    SUCCEED = "succeed"
    REFUSE = "refuse"
    RETRY = "retry"
    DOUBT = "doubt"
    EXHAUST = "exhaust"
    REQUEUE = "requeue"


WAITING = frozenset({State.PENDING, State.RETRYABLE, State.IN_DOUBT})
FINAL = frozenset({State.SUCCEEDED, State.REFUSED, State.EXHAUSTED})


@dataclass(frozen=True, slots=True)
class Arrow:
    """One event: the states it may start from, the state it leads to, and its guard."""

    sources: frozenset[State]
    target: State
    guard: str


TRANSITIONS: Mapping[Event, Arrow] = MappingProxyType(
    {
        Event.CLAIM: Arrow(WAITING, State.IN_FLIGHT, "due, and the partner takes calls"),
        Event.SUCCEED: Arrow(
            frozenset({State.IN_FLIGHT, State.IN_DOUBT}),
            State.SUCCEEDED,
            "my lease, or still in doubt",
        ),
        Event.REFUSE: Arrow(
            frozenset({State.IN_FLIGHT, State.IN_DOUBT}),
            State.REFUSED,
            "my lease, or still in doubt",
        ),
        Event.RETRY: Arrow(
            frozenset({State.IN_FLIGHT, State.IN_DOUBT}),
            State.RETRYABLE,
            "my lease, or still in doubt",
        ),
        Event.DOUBT: Arrow(
            frozenset({State.IN_FLIGHT}), State.IN_DOUBT, "my lease, or the lease ended"
        ),
        Event.EXHAUST: Arrow(
            WAITING | {State.IN_FLIGHT},
            State.EXHAUSTED,
            "past the deadline or the attempt ceiling",
        ),
        Event.REQUEUE: Arrow(
            frozenset({State.EXHAUSTED, State.REFUSED}),
            State.PENDING,
            "an operator, with a reason",
        ),
    }
)

OUTCOMES: Mapping[State, frozenset[Outcome]] = MappingProxyType(
    {
        State.SUCCEEDED: frozenset({Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.EXPIRED}),
        State.REFUSED: frozenset({Outcome.PAID, Outcome.REFUSED}),
        State.EXHAUSTED: frozenset({Outcome.LAPSED, Outcome.GAVE_UP, Outcome.UNKNOWN}),
    }
)


def diagram() -> str:
    """Return the arrows as a Mermaid state diagram, in the order of TRANSITIONS."""
    arrows = [
        f"    {source} --> {arrow.target}: {event}"
        for event, arrow in TRANSITIONS.items()
        for source in State
        if source in arrow.sources
    ]
    ends = [
        f"    {state} --> [*]: {', '.join(sorted(OUTCOMES[state]))}"
        for state in State
        if state in FINAL
    ]
    return "\n".join(["stateDiagram-v2", "    [*] --> pending: accept", *arrows, *ends])


def table() -> str:
    """Return the arrows as a Markdown table, one event a line."""
    lines = [
        f"| {event} | {', '.join(s for s in State if s in arrow.sources)} "
        f"| {arrow.target} | {arrow.guard} |"
        for event, arrow in TRANSITIONS.items()
    ]
    return "\n".join(["| event | from | to | guard |", "| --- | --- | --- | --- |", *lines])

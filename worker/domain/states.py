"""
The states of a cancel job, its outcomes, and the only transitions between them.

`store` derives the guard of every statement that writes `state` from TRANSITIONS, the tables
derive their CHECKs from it, and the diagram in the docs is generated from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """The state of a job. Ours; the bank's is `token_status`."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    RETRYABLE = "retryable"
    IN_DOUBT = "in_doubt"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    EXHAUSTED = "exhausted"


class Outcome(StrEnum):
    """The result that the order system acts on; None until the job is final."""

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
    DISCARD = "discard"
    REQUEUE = "requeue"
    REOPEN = "reopen"


WAITING = frozenset({State.PENDING, State.RETRYABLE, State.IN_DOUBT})
FINAL = frozenset({State.SUCCEEDED, State.REFUSED, State.EXHAUSTED})


@dataclass(frozen=True, slots=True)
class Transition:
    """The transition of one event: its source states, its target state, and its guard."""

    sources: frozenset[State]
    target: State
    guard: str


TRANSITIONS: Mapping[Event, Transition] = MappingProxyType(
    {
        Event.CLAIM: Transition(WAITING, State.IN_FLIGHT, "due, and the partner takes calls"),
        Event.SUCCEED: Transition(
            frozenset({State.IN_FLIGHT, State.IN_DOUBT}),
            State.SUCCEEDED,
            "my lease, or still in doubt",
        ),
        Event.REFUSE: Transition(
            frozenset({State.IN_FLIGHT, State.IN_DOUBT}),
            State.REFUSED,
            "my lease, or still in doubt",
        ),
        Event.RETRY: Transition(
            frozenset({State.IN_FLIGHT, State.IN_DOUBT}),
            State.RETRYABLE,
            "my lease, or still in doubt",
        ),
        Event.DOUBT: Transition(
            frozenset({State.IN_FLIGHT}), State.IN_DOUBT, "my lease, or the lease ended"
        ),
        Event.EXHAUST: Transition(
            WAITING | {State.IN_FLIGHT},
            State.EXHAUSTED,
            "past the deadline or the attempt ceiling",
        ),
        Event.DISCARD: Transition(
            WAITING, State.EXHAUSTED, "an operator, with a reason; no call is under way"
        ),
        Event.REQUEUE: Transition(
            frozenset({State.EXHAUSTED, State.REFUSED}),
            State.PENDING,
            "an operator, with a reason",
        ),
        Event.REOPEN: Transition(
            frozenset({State.SUCCEEDED, State.REFUSED}),
            State.PENDING,
            "an operator, with a reason; an audit after its end found drift",
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

ALARMING = (Outcome.PAID, Outcome.UNKNOWN, Outcome.GAVE_UP, Outcome.REFUSED, Outcome.LAPSED)
"""The outcomes that a person has to see, those that cost money soonest first."""


def diagram() -> str:
    """Return the transitions as a Mermaid state diagram, in the order of TRANSITIONS."""
    transitions = [
        f"    {source} --> {transition.target}: {event}"
        for event, transition in TRANSITIONS.items()
        for source in State
        if source in transition.sources
    ]
    ends = [
        f"    {state} --> [*]: {', '.join(sorted(OUTCOMES[state]))}"
        for state in State
        if state in FINAL
    ]
    return "\n".join(["stateDiagram-v2", "    [*] --> pending: accept", *transitions, *ends])


def table() -> str:
    """Return the transitions as a Markdown table, one event a line."""
    lines = [
        f"| {event} | {', '.join(s for s in State if s in transition.sources)} "
        f"| {transition.target} | {transition.guard} |"
        for event, transition in TRANSITIONS.items()
    ]
    return "\n".join(["| event | from | to | guard |", "| --- | --- | --- | --- |", *lines])

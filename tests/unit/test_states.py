"""The states, the only arrows between them, and what is printed from them."""

import pytest

from worker.domain.states import (
    FINAL,
    OUTCOMES,
    TRANSITIONS,
    WAITING,
    Event,
    Outcome,
    State,
    diagram,
    table,
)

IN_FLIGHT, IN_DOUBT, PENDING, RETRYABLE = (
    State.IN_FLIGHT,
    State.IN_DOUBT,
    State.PENDING,
    State.RETRYABLE,
)

ARROWS = [
    (Event.CLAIM, {PENDING, RETRYABLE, IN_DOUBT}, IN_FLIGHT),
    (Event.SUCCEED, {IN_FLIGHT, IN_DOUBT}, State.SUCCEEDED),
    (Event.REFUSE, {IN_FLIGHT, IN_DOUBT}, State.REFUSED),
    (Event.RETRY, {IN_FLIGHT, IN_DOUBT}, RETRYABLE),
    (Event.DOUBT, {IN_FLIGHT}, IN_DOUBT),
    (Event.EXHAUST, {IN_FLIGHT, IN_DOUBT, PENDING, RETRYABLE}, State.EXHAUSTED),
    (Event.REQUEUE, {State.EXHAUSTED, State.REFUSED}, PENDING),
]


@pytest.mark.parametrize(("event", "sources", "target"), ARROWS)
def test_an_event_leads_from_its_states_to_one_state(
    event: Event, sources: set[State], target: State
) -> None:
    """Written out by hand: a changed arrow must be changed here too, on purpose."""
    assert TRANSITIONS[event].sources == sources
    assert TRANSITIONS[event].target is target
    assert TRANSITIONS[event].guard


def test_every_event_has_an_arrow() -> None:
    assert set(TRANSITIONS) == set(Event) == {event for event, _, _ in ARROWS}


def test_only_an_operator_leads_out_of_a_final_state() -> None:
    leaving = {event for event, arrow in TRANSITIONS.items() if arrow.sources & FINAL}
    assert leaving == {Event.REQUEUE}


def test_nothing_leads_out_of_success() -> None:
    assert not any(State.SUCCEEDED in arrow.sources for arrow in TRANSITIONS.values())


def test_only_a_claim_puts_a_job_in_flight() -> None:
    leading = {event for event, arrow in TRANSITIONS.items() if arrow.target is IN_FLIGHT}
    assert leading == {Event.CLAIM}


def test_a_state_waits_or_is_final_or_is_in_flight() -> None:
    assert WAITING | FINAL | {IN_FLIGHT} == set(State)
    assert not WAITING & FINAL


def test_every_state_can_be_reached_from_pending() -> None:
    reached = {PENDING}
    for _ in State:
        reached |= {arrow.target for arrow in TRANSITIONS.values() if arrow.sources & reached}
    assert reached == set(State)


def test_every_state_that_is_not_final_can_reach_an_end() -> None:
    ending = set(FINAL)
    for _ in State:
        ending |= {
            source
            for arrow in TRANSITIONS.values()
            if arrow.target in ending
            for source in arrow.sources
        }
    assert ending == set(State)


def test_every_outcome_belongs_to_exactly_one_final_state() -> None:
    listed = [outcome for outcomes in OUTCOMES.values() for outcome in outcomes]
    assert sorted(listed) == sorted(Outcome)
    assert set(OUTCOMES) == FINAL


def test_outcomes_stand_where_the_order_system_expects_them() -> None:
    assert OUTCOMES[State.SUCCEEDED] == {"cancelled", "already_cancelled", "expired"}
    assert OUTCOMES[State.REFUSED] == {"paid", "refused"}
    assert OUTCOMES[State.EXHAUSTED] == {"lapsed", "gave_up", "unknown"}


@pytest.mark.parametrize("target", [TRANSITIONS, OUTCOMES])
def test_the_tables_cannot_be_changed_while_running(target: dict[object, object]) -> None:
    with pytest.raises(TypeError):
        target["new"] = None


def test_the_diagram_draws_every_arrow_once() -> None:
    drawn = diagram().splitlines()
    arrows = [
        f"    {source} --> {arrow.target}: {event}"
        for event, arrow in TRANSITIONS.items()
        for source in arrow.sources
    ]
    assert drawn[:2] == ["stateDiagram-v2", "    [*] --> pending: accept"]
    assert sorted(drawn[2 : 2 + len(arrows)]) == sorted(arrows)
    assert drawn[2 + len(arrows) :] == [
        "    succeeded --> [*]: already_cancelled, cancelled, expired",
        "    refused --> [*]: paid, refused",
        "    exhausted --> [*]: gave_up, lapsed, unknown",
    ]


def test_the_table_has_a_line_per_event() -> None:
    head, rule, *lines = table().splitlines()
    assert head == "| event | from | to | guard |"
    assert rule == "| --- | --- | --- | --- |"
    assert lines[0] == (
        "| claim | pending, retryable, in_doubt | in_flight | due, and the partner takes calls |"
    )
    assert [line.split(" | ")[0] for line in lines] == [f"| {event}" for event in Event]


def test_the_diagram_is_the_same_on_every_run() -> None:
    """Sets have no order of their own; a diagram that moves would fail the docs' test."""
    assert diagram() == diagram()
    assert "in_flight --> succeeded" in diagram()

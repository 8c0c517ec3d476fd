"""What the arrows between the states promise, and what is printed from them."""

import re

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

ASKED = frozenset({State.IN_FLIGHT, State.IN_DOUBT})
"""Where a job stands that the bank was asked about: only there an answer changes anything."""
VERDICTS = (Event.SUCCEED, Event.REFUSE, Event.RETRY, Event.DOUBT)
BY_AN_OPERATOR = {Event.DISCARD, Event.REQUEUE, Event.REOPEN}
BEGINNING = State.PENDING


def events_to(state: State) -> set[Event]:
    return {event for event, arrow in TRANSITIONS.items() if arrow.target is state}


def events_from(*states: State) -> set[Event]:
    return {event for event, arrow in TRANSITIONS.items() if arrow.sources & set(states)}


def test_every_event_has_one_arrow_and_its_guard_is_said() -> None:
    assert set(TRANSITIONS) == set(Event)
    assert all(arrow.sources and arrow.guard for arrow in TRANSITIONS.values())


def test_an_event_changes_the_state() -> None:
    """An arrow to where it begins would hide that nothing happened; doubt is not renewed so."""
    assert not [event for event, arrow in TRANSITIONS.items() if arrow.target in arrow.sources]


def test_a_state_waits_or_is_final_or_is_in_flight() -> None:
    assert WAITING | FINAL | {State.IN_FLIGHT} == set(State)
    assert not WAITING & FINAL
    assert BEGINNING in WAITING


def test_whatever_waits_can_be_claimed_and_nothing_else() -> None:
    """A job in flight is one worker's alone, and a final one is nobody's."""
    assert TRANSITIONS[Event.CLAIM].sources == WAITING


def test_only_a_claim_puts_a_job_in_flight() -> None:
    assert events_to(State.IN_FLIGHT) == {Event.CLAIM}


@pytest.mark.parametrize("event", VERDICTS)
def test_a_verdict_is_passed_on_a_job_that_was_asked_about(event: Event) -> None:
    """Nobody has heard anything of a job that was never sent, or that is to be sent anew."""
    arrow = TRANSITIONS[event]
    assert State.IN_FLIGHT in arrow.sources
    assert arrow.sources <= ASKED


@pytest.mark.parametrize("event", [Event.SUCCEED, Event.REFUSE, Event.RETRY])
def test_a_clear_answer_that_comes_late_still_ends_a_doubt(event: Event) -> None:
    assert State.IN_DOUBT in TRANSITIONS[event].sources


def test_whatever_is_not_final_can_run_out_of_time_or_attempts() -> None:
    assert TRANSITIONS[Event.EXHAUST].sources == set(State) - FINAL


def test_doubt_begins_in_a_call_and_nowhere_else() -> None:
    assert events_to(State.IN_DOUBT) == {Event.DOUBT}
    assert TRANSITIONS[Event.DOUBT].sources == {State.IN_FLIGHT}


def test_only_an_operator_leads_out_of_a_final_state() -> None:
    assert events_from(*FINAL) == BY_AN_OPERATOR - {Event.DISCARD}


def test_only_drift_leads_out_of_success_and_all_other_ends_can_be_requeued() -> None:
    assert TRANSITIONS[Event.REQUEUE].sources == FINAL - {State.SUCCEEDED}
    assert events_from(State.SUCCEEDED) == {Event.REOPEN}
    assert "an audit" in TRANSITIONS[Event.REOPEN].guard


def test_a_job_that_an_operator_lets_try_again_begins_anew() -> None:
    assert events_to(BEGINNING) == {Event.REQUEUE, Event.REOPEN}


def test_only_what_waits_is_discarded() -> None:
    """Whoever asks the bank about a job in flight settles it."""
    assert TRANSITIONS[Event.DISCARD].sources == WAITING


@pytest.mark.parametrize("event", sorted(BY_AN_OPERATOR))
def test_what_an_operator_does_has_a_reason(event: Event) -> None:
    assert "an operator, with a reason" in TRANSITIONS[event].guard


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (Event.SUCCEED, Outcome.CANCELLED),
        (Event.REFUSE, Outcome.PAID),
        (Event.EXHAUST, Outcome.UNKNOWN),
    ],
)
def test_an_event_that_ends_a_job_leads_where_its_outcomes_are(
    event: Event, outcome: Outcome
) -> None:
    end = TRANSITIONS[event].target
    assert outcome in OUTCOMES[end]
    assert events_to(end) - BY_AN_OPERATOR == {event}


def test_every_state_can_be_reached_from_the_first() -> None:
    reached = {BEGINNING}
    for _ in State:
        reached |= {arrow.target for arrow in TRANSITIONS.values() if arrow.sources & reached}
    assert reached == set(State)


def test_every_state_that_is_not_final_can_reach_each_end() -> None:
    for end in FINAL:
        ending = {end}
        for _ in State:
            ending |= {
                source
                for arrow in TRANSITIONS.values()
                if arrow.target in ending
                for source in arrow.sources
            }
        assert ending >= set(State) - FINAL


def test_every_outcome_belongs_to_exactly_one_final_state() -> None:
    listed = [outcome for outcomes in OUTCOMES.values() for outcome in outcomes]
    assert sorted(listed) == sorted(Outcome)
    assert set(OUTCOMES) == FINAL


@pytest.mark.parametrize("target", [TRANSITIONS, OUTCOMES])
def test_the_tables_cannot_be_changed_while_running(target: dict[object, object]) -> None:
    with pytest.raises(TypeError):
        target["new"] = None


def test_the_diagram_draws_every_arrow_and_every_end_once_and_nothing_else() -> None:
    head, *drawn = diagram().splitlines()
    arrows = [
        f"    {source} --> {arrow.target}: {event}"
        for event, arrow in TRANSITIONS.items()
        for source in arrow.sources
    ]
    ends = [f"    {end} --> [*]: {', '.join(sorted(of))}" for end, of in OUTCOMES.items()]
    assert head == "stateDiagram-v2"
    assert sorted(drawn) == sorted([f"    [*] --> {BEGINNING}: accept", *arrows, *ends])


def test_the_table_says_what_the_arrows_say_and_nothing_else() -> None:
    _head, rule, *lines = table().splitlines()
    read = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert re.fullmatch(r"(\| --- ){4}\|", rule)
    assert [event for event, *_ in read] == list(TRANSITIONS)
    for event, sources, target, guard in read:
        arrow = TRANSITIONS[Event(event)]
        assert set(sources.split(", ")) == arrow.sources
        assert (target, guard) == (arrow.target, arrow.guard)


def test_the_diagram_goes_by_the_order_of_the_states() -> None:
    """Sets have no order of their own; a diagram that moves would fail the docs' test."""
    claims = re.findall(r"(\w+) --> in_flight", diagram())
    assert claims == [state for state in State if state in WAITING]

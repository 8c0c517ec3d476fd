"""How a partner rests: paused by us or an operator, cooling after a run of failures."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from sqlalchemy import Engine

from tests.integration.stock import (
    ANSWERED,
    BUSY,
    CANCELLED,
    DOWN,
    LOST,
    NOON,
    OURS,
    UNHEARD,
    Clock,
    accept,
    answer,
    claim,
    claimed,
    evidence,
    execute,
    only,
    partner,
    settle,
)
from worker.domain.decision import Decision
from worker.store import UNCONFIGURED, Claim, Cooldown, Database, Evidence, Store

REST: Final = Cooldown(threshold=3, base=timedelta(seconds=5), cap=timedelta(seconds=30))


class Line:
    """One partner whose calls fail or not, each a job of its own."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._made = 0

    def call(self) -> Claim:
        self._made += 1
        uid = f"U{self._made}"
        accept(self.store, uid)
        return claimed(self.store, uid)

    def probe(self, decision: Decision, heard: Evidence = UNHEARD) -> None:
        """Hold a conversation that has passed the gate."""
        self._made += 1
        uid = f"U{self._made}"
        accept(self.store, uid)
        settle(self.store, claimed(self.store, uid, inquirers=("P1",)), decision, heard)

    def hears(self, decision: Decision, heard: Evidence = UNHEARD) -> None:
        settle(self.store, self.call(), decision, heard)

    def fails(self, times: int = 1) -> None:
        for _ in range(times):
            self.hears(DOWN)

    @property
    def stands(self) -> tuple[str, int]:
        row = partner(self.store)
        return row["mode"], row["failures"]

    @property
    def rests_for(self) -> float:
        row = partner(self.store)
        seconds: float = (row["resume_at"] - row["updated_at"]).total_seconds()
        return seconds


@pytest.fixture
def line(engine: Engine, clock: Clock) -> Line:
    return Line(Store(Database(engine, clock=clock), cooldown=REST))


def test_a_partner_that_never_failed_has_no_row(line: Line) -> None:
    line.hears(CANCELLED, ANSWERED)
    assert line.store.partners.all() == []


def test_failures_are_counted_until_the_run_is_complete(line: Line) -> None:
    line.fails()
    assert line.stands == ("active", 1)
    line.fails()
    assert line.stands == ("active", 2)
    line.fails()
    assert line.stands == ("cooling", 3)
    assert only(partner(line.store), "reason", "resume_at", "updated_at") == (
        "nothing was sent",
        NOON + REST.base,
        NOON,
    )


def test_an_answer_ends_a_run_of_failures(line: Line) -> None:
    line.fails(2)
    line.hears(BUSY, evidence(answer(status_code="10", error_code="general_error")))
    assert line.stands == ("active", 0)
    line.fails(2)
    assert line.stands == ("active", 2)


def test_silence_without_strain_says_nothing_about_the_partner(line: Line) -> None:
    """A rescued claim is our own worker's failure, not the bank's."""
    line.fails(2)
    line.hears(replace(LOST, bank_failed=False))
    assert line.stands == ("active", 2)


def test_each_cool_down_that_ends_in_a_failure_doubles_the_next_up_to_the_cap(
    line: Line, clock: Clock
) -> None:
    line.fails(3)
    rests = [line.rests_for]
    for _ in range(5):
        clock.forward(rests[-1])
        line.fails()
        rests.append(line.rests_for)
    assert rests == [5, 10, 20, 30, 30, 30]
    assert line.stands == ("cooling", 8)


def test_the_ladder_begins_anew_after_an_answer(line: Line, clock: Clock) -> None:
    line.fails(3)
    clock.forward(5)
    line.fails()
    clock.forward(10)
    line.probe(CANCELLED, ANSWERED)
    assert line.stands == ("active", 0)
    assert only(partner(line.store), "reason", "resume_at") == (None, None)
    line.fails(3)
    assert line.rests_for == 5


def test_calls_under_way_do_not_lengthen_a_cool_down(line: Line) -> None:
    under_way = [line.call() for _ in range(4)]
    line.fails(3)
    before = partner(line.store)
    for mine in under_way:
        settle(line.store, mine, LOST)
    assert partner(line.store) == before


def test_calls_that_began_before_a_cool_down_do_not_start_another(line: Line, clock: Clock) -> None:
    """A call may take longer than the first rest: its failure is old news by then."""
    under_way = [line.call() for _ in range(4)]
    line.fails(3)
    clock.forward(6)
    for mine in under_way:
        settle(line.store, mine, LOST)
    assert line.stands == ("cooling", 3)
    line.fails()
    assert line.stands == ("cooling", 4)


def test_an_answer_to_a_call_under_way_does_not_end_a_rest(line: Line) -> None:
    """It began before the rest: what it heard is older than what put the partner to rest."""
    under_way = line.call()
    line.fails(3)
    settle(line.store, under_way, CANCELLED, ANSWERED)
    assert line.stands == ("cooling", 3)


def test_a_fault_of_ours_pauses_the_partner_with_its_reason(line: Line) -> None:
    line.hears(OURS)
    assert only(partner(line.store), "mode", "reason", "resume_at") == ("paused", "wrong key", None)


def test_a_fault_of_ours_pauses_a_cooling_partner(line: Line) -> None:
    under_way = line.call()
    line.fails(3)
    settle(line.store, under_way, OURS)
    assert only(partner(line.store), "mode", "reason", "resume_at") == ("paused", "wrong key", None)


def test_neither_success_nor_failure_nor_another_fault_changes_a_pause(
    line: Line, clock: Clock
) -> None:
    under_way = [line.call() for _ in range(3)]
    line.hears(OURS)
    before = partner(line.store)
    clock.forward(1)
    settle(line.store, under_way[0], CANCELLED, ANSWERED)
    settle(line.store, under_way[1], DOWN)
    settle(line.store, under_way[2], replace(OURS, pause_reason="another reason"))
    assert partner(line.store) == before


def test_one_partner_does_not_rest_for_another(line: Line) -> None:
    line.fails(3)
    accept(line.store, "other", partner_id="P2")
    assert claim(line.store, "other")


def test_a_first_failure_can_be_the_whole_run(engine: Engine, clock: Clock) -> None:
    store = Store(Database(engine, clock=clock), cooldown=replace(REST, threshold=1))
    line = Line(store)
    line.fails()
    assert line.stands == ("cooling", 1)
    assert line.rests_for == 5


def test_a_cool_down_can_be_of_one_length(engine: Engine, clock: Clock) -> None:
    rest = Cooldown(threshold=1, base=timedelta(seconds=5), cap=timedelta(seconds=5))
    line = Line(Store(Database(engine, clock=clock), cooldown=rest))
    line.fails()
    clock.forward(5)
    line.fails()
    assert line.rests_for == 5


def test_a_partner_paused_for_want_of_credentials_goes_on_once_it_has_some(line: Line) -> None:
    line.hears(replace(OURS, pause_reason=UNCONFIGURED))
    assert line.store.partners.resume_changed({}) == []
    assert line.store.partners.resume_changed({"P0": "f0", "P2": "f2"}) == []
    assert line.store.partners.resume_changed({"P0": "f0", "P1": "f1"}) == ["P1"]
    assert line.stands == ("active", 0)


def test_a_pause_lasts_until_other_credentials_are_shown(line: Line) -> None:
    line.hears(OURS, replace(UNHEARD, credentials="old"))
    assert line.store.partners.resume_changed({"P1": "old"}) == []
    assert line.stands[0] == "paused"
    assert line.store.partners.resume_changed({"P1": "new"}) == ["P1"]
    assert line.store.partners.resume_changed({"P1": "newer"}) == []


def test_an_operators_pause_is_ended_by_operators_alone(line: Line) -> None:
    line.store.actions.pause_partner("P1", who="op", reason="month's end")
    assert line.store.partners.resume_changed({"P1": "new"}) == []
    assert line.stands[0] == "paused"


def test_a_partner_that_a_person_wrote_down_can_strain(line: Line) -> None:
    execute(line.store, "INSERT INTO partners (partner_id) VALUES ('P1')")
    assert line.stands == ("active", 0)
    line.fails(3)
    assert line.stands == ("cooling", 3)

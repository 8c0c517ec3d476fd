"""Whose turn it is: a job that is hinted and never claimed holds up nobody, nor does a backlog."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, Self

import psycopg
import pytest
from sqlalchemy import event

from tests.integration.stock import (
    AGAIN,
    ANSWERED,
    BUSY,
    CANCELLED,
    LEASE,
    LOST,
    NOON,
    SECOND,
    Clock,
    accept,
    answer,
    claim,
    evidence,
    hint,
    only,
    partner,
    roster,
    row,
    settle,
)
from worker.domain.partners import Roster
from worker.store import Store

HOUR: Final = timedelta(hours=1)
NAMES: Final = [f"P{number:03}" for number in range(200)]


def bad(store: Store, count: int) -> None:
    """Accept jobs that no worker ever claims; their tokens expire before all others."""
    for number in range(count):
        accept(store, f"BAD{number}", expires_at=NOON + HOUR)


def hinted(store: Store, partners: Roster, *, high_water: int = 100) -> list[str]:
    return store.backlog.hint(high_water=high_water, again_after=AGAIN, roster=partners)


def prove(store: Store, *names: str) -> None:
    """Let the bank answer one call of each partner."""
    for name in names:
        accept(store, f"PROOF-{name}", partner_id=name)
        mine = store.jobs.claim(f"PROOF-{name}", lease=LEASE, roster=roster(*NAMES))
        assert mine is not None
        assert settle(store, mine, CANCELLED, ANSWERED)


def backlog_in_front(store: Store, count: int) -> None:
    """Accept jobs of a partner that is paused; their tokens expire before all others."""
    accept(
        store, *(f"B{number}" for number in range(count)), partner_id="AAA", expires_at=NOON + HOUR
    )
    store.actions.pause_partner("AAA", who="op", reason="maintenance")


def test_two_jobs_that_nobody_claims_do_not_hold_a_partner_that_must_prove_itself(
    store: Store, clock: Clock
) -> None:
    bad(store, 2)
    accept(store, *(f"U{number}" for number in range(22)))
    assert sorted(hinted(store, roster("P1"))) == ["BAD0", "BAD1"]
    clock.forward(AGAIN)
    assert any(uid.startswith("U") for uid in hinted(store, roster("P1")))


def test_as_many_as_the_conveyor_holds_give_their_turn_away(store: Store, clock: Clock) -> None:
    bad(store, 8)
    accept(store, *(f"U{number}" for number in range(22)))
    assert len(hint(store, high_water=8)) == 8
    clock.forward(AGAIN)
    second = hint(store, high_water=8)
    assert len([uid for uid in second if uid.startswith("U")]) == 6
    for uid in second:
        if uid.startswith("U"):
            assert claim(store, uid) is not None
    assert len([uid for uid in hint(store, high_water=8) if uid.startswith("U")]) >= 4


def test_the_next_hint_waits_longer_each_time(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    found = []
    for _ in range(700):
        if hint(store):
            found.append((clock.now - NOON).total_seconds())
        clock.forward(1)
    assert found == [0, 15, 45, 105, 225, 465]
    assert row(store)["hints"] == 6


def test_jobs_of_many_lost_hints_hold_a_quarter_of_the_conveyor_at_most(
    store: Store, clock: Clock
) -> None:
    bad(store, 20)
    for _ in range(3):
        clock.forward(4 * AGAIN)
        hint(store, high_water=100)
    clock.forward(20 * AGAIN)
    assert len(hint(store, high_water=8)) == 2
    accept(store, *(f"U{number}" for number in range(9)))
    assert len([uid for uid in hint(store, high_water=8) if uid.startswith("U")]) == 6


def test_if_the_broker_loses_every_hint_all_of_them_come_again(store: Store, clock: Clock) -> None:
    """As soon as before: a lost message is no fault of the job."""
    accept(store, *(f"U{number}" for number in range(40)))
    first = hint(store)
    assert len(first) == 40
    clock.forward(AGAIN)
    assert sorted(hint(store)) == sorted(first)


def test_a_lost_hint_comes_again_though_new_jobs_never_end(store: Store, clock: Clock) -> None:
    accept(store, "LOST", expires_at=NOON + HOUR)
    assert hint(store) == ["LOST"]
    clock.forward(AGAIN)
    accept(store, *(f"U{number}" for number in range(40)))
    assert "LOST" in hint(store, high_water=4)


def test_a_claim_forgets_lost_hints(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    for _ in range(4):
        hint(store)
        clock.forward(20 * AGAIN)
    mine = claim(store)
    assert mine is not None
    assert row(store)["hints"] == 0
    settle(store, mine, BUSY)
    clock.forward(5)
    assert hint(store) == ["U1"]


def test_a_hint_that_the_gate_refused_is_no_fault_of_the_job(store: Store) -> None:
    partners = roster("P1")
    accept(store, "U1", "U2")
    assert sorted(hinted(store, partners)) == ["U1", "U2"]
    assert store.jobs.claim("U1", lease=LEASE, roster=partners) is not None
    assert store.jobs.claim("U2", lease=LEASE, roster=partners) is None
    assert only(row(store, "U2"), "hinted_at", "hints") == (None, 0)


def test_hints_that_came_to_nothing_while_the_partner_rests_are_no_fault_of_the_jobs(
    store: Store, clock: Clock
) -> None:
    """Those from before its rest and those from within: both are due again when it ends."""
    accept(store, "U1", hinted=True)
    store.actions.pause_partner("P1", who="op", reason="maintenance")
    accept(store, "U2", hinted=True)
    clock.forward(1)
    assert claim(store, "U1") is None
    assert claim(store, "U2") is None
    store.actions.resume_partner("P1", who="op", reason="done")
    assert sorted(hint(store)) == ["U1", "U2"]
    assert {row(store, uid)["hints"] for uid in ("U1", "U2")} == {1}


def test_the_next_first_call_is_of_another_job_than_the_one_that_failed(
    store: Store, clock: Clock
) -> None:
    partners = roster("P1")
    accept(store, "SLOW", expires_at=NOON + HOUR)
    accept(store, *(f"U{number}" for number in range(9)))
    first = hinted(store, partners)[0]
    for _ in range(4):
        mine = store.jobs.claim(first, lease=LEASE, roster=partners)
        assert mine is not None
        settle(store, mine, LOST)
        clock.forward(2 * AGAIN)
        before, (first, *_) = first, hinted(store, partners)
        found = hinted(store, partners)
        assert first != before
        assert found == []


def test_who_was_answered_before_goes_first(store: Store, clock: Clock) -> None:
    """Beside one about which the bank was never asked; last comes the one that just failed."""
    partners = roster("P1")
    accept(store, "SLOW", expires_at=NOON + HOUR)
    accept(store, "NEW1", "NEW2", "HEARD")
    for uid, decision, heard in (
        ("HEARD", BUSY, evidence(answer(status_code="10", error_code="general_error"))),
        ("SLOW", LOST, evidence()),
    ):
        mine = store.jobs.claim(uid, lease=LEASE, roster=partners)
        assert mine is not None
        settle(store, mine, decision, heard)
    clock.forward(AGAIN)
    assert partner(store)["failed_probes"] == 2
    assert sorted(hinted(store, partners)) == ["HEARD", "NEW1", "NEW2"]


def test_the_one_that_failed_goes_again_if_it_is_the_only_one(store: Store, clock: Clock) -> None:
    partners = roster("P1")
    accept(store, "SLOW")
    mine = store.jobs.claim("SLOW", lease=LEASE, roster=partners)
    assert mine is not None
    settle(store, mine, LOST)
    clock.forward(AGAIN)
    assert hinted(store, partners) == ["SLOW"]


@contextmanager
def noted(store: Store) -> Iterator[list[int]]:
    """Give a list that has, for each statement, how many rows it returned."""
    rows: list[int] = []

    def note(_connection: object, cursor: Any, *_more: object) -> None:
        rows.append(cursor.rowcount)

    class Noting(psycopg.RawCursor[Any]):
        """What `Prepared` executes passes by SQLAlchemy's events."""

        def execute(self, *statement: Any, **how: Any) -> Self:
            super().execute(*statement, **how)
            rows.append(self.rowcount)
            return self

    event.listen(store.database.engine, "after_cursor_execute", note)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(psycopg, "RawCursor", Noting)
            yield rows
    finally:
        event.remove(store.database.engine, "after_cursor_execute", note)


def test_a_pass_asks_as_often_whatever_the_roster_and_the_backlog(
    store: Store, clock: Clock
) -> None:
    """Of a partner without jobs nothing is asked."""
    assert hinted(store, roster(*NAMES)) == []  # the first pass makes the row of the turn
    accept(store, *(f"U{number}" for number in range(300)), partner_id="P000")
    counts = set()
    for known in (roster(*NAMES[:2]), roster(*NAMES)):
        with noted(store) as rows:
            assert len(hinted(store, known)) == 2
        counts.add(len(rows))
        clock.forward(AGAIN)
    assert max(counts) < 15
    assert max(counts) - min(counts) <= 2


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_pass_reads_as_much_however_many_jobs_and_partners_wait(
    store: Store, clock: Clock
) -> None:
    """In front are the jobs of one that is paused, so the pass goes partner by partner."""
    store.actions.pause_partner("AAA", who="op", reason="maintenance")
    seen = []
    for more in (range(20), range(20, len(NAMES))):
        for number in more:
            for name, hours in (("AAA", 1), (NAMES[number], 2)):
                uids = (f"{name}-{number}-{n}" for n in range(5))
                accept(store, *uids, partner_id=name, expires_at=NOON + hours * HOUR)
        with noted(store) as rows:
            assert len(hinted(store, roster(*NAMES), high_water=16)) == 16
        seen.append((len(rows), sum(rows)))
        clock.forward(AGAIN)
    (few_statements, few_rows), (many_statements, many_rows) = seen
    assert max(few_statements, many_statements) < 15
    assert many_rows <= 1.25 * few_rows


@pytest.mark.parametrize("case", ["unproven", "limited", "paused", "expired"])
def test_a_backlog_without_room_holds_up_no_other_partner(
    store: Store, clock: Clock, case: str
) -> None:
    """It is first in line: its tokens expire before all others."""
    prove(store, "P001", *(["P000"] if case in ("limited", "paused") else []))
    limited = roster("P000", **({"rate_per_second": 2} if case == "limited" else {}))
    ends = NOON + (SECOND if case == "expired" else HOUR)
    for number in range(200):
        accept(store, f"B{number:03}", partner_id="P000", expires_at=ends)
    for number in range(40):
        accept(store, f"U{number}", partner_id="P001", expires_at=NOON + 2 * HOUR)
    if case == "paused":
        store.actions.pause_partner("P000", who="op", reason="maintenance")
    clock.forward(2)
    others = {} if case == "expired" else dict(roster("P001"))
    if case == "expired":
        limited = Roster({})
    found = hinted(store, Roster({**limited, **others}), high_water=30)
    assert len([uid for uid in found if uid.startswith("U")]) >= 27


def test_partners_behind_those_of_one_pass_get_their_turn_in_the_next(
    store: Store, clock: Clock
) -> None:
    """In front of all of them is the backlog of one that is paused."""
    backlog_in_front(store, 200)
    for name in NAMES[:60]:
        accept(store, f"U-{name}", partner_id=name, expires_at=NOON + 2 * HOUR)
    partners, found = roster(*NAMES), list[str]()
    for _ in range(6):
        found += hinted(store, partners, high_water=16)
        for uid in found:
            store.jobs.claim(uid, lease=LEASE, roster=partners)
        clock.forward(SECOND)
    assert sorted(set(found)) == [f"U-{name}" for name in NAMES[:60]]


def test_behind_the_last_partner_a_pass_begins_anew_with_the_first(
    store: Store, clock: Clock
) -> None:
    """What is left of its room is not left to the next one."""
    backlog_in_front(store, 100)
    for name in NAMES[:20]:
        accept(store, f"U-{name}", f"V-{name}", partner_id=name, expires_at=NOON + 2 * HOUR)
    partners = roster(*NAMES)
    first = hinted(store, partners, high_water=16)
    for uid in first:
        store.jobs.claim(uid, lease=LEASE, roster=partners)
    clock.forward(SECOND)
    second = {uid.split("-")[1] for uid in hinted(store, partners, high_water=16)}
    assert {"P008", "P019"} <= second


def test_a_backlog_that_has_room_again_is_first_in_line_again(store: Store, clock: Clock) -> None:
    """While it had none, a pass read less of it."""
    partners = roster("AAA", *NAMES[:3])
    backlog_in_front(store, 100)
    accept(store, *(f"U{number}" for number in range(100)), partner_id="P000")
    for _ in range(3):
        assert {uid[0] for uid in hinted(store, partners)} <= {"U"}
        clock.forward(SECOND)
    store.actions.resume_partner("AAA", who="op", reason="it is over")
    assert {uid[0] for uid in hinted(store, partners)} == {"B"}

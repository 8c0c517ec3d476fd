"""The gate that every call of a partner passes: one goes first, the rest keep their distance."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

import pytest
from sqlalchemy import Engine

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    AGAIN,
    ANSWERED,
    CANCELLED,
    DOWN,
    LEASE,
    LOST,
    OURS,
    UNHEARD,
    Clock,
    accept,
    answer,
    evidence,
    only,
    partner,
    row,
    settle,
)
from worker.domain.decision import Decision
from worker.domain.partners import Partner, Roster
from worker.domain.states import Event, State
from worker.store import Claim, Cooldown, Database, Evidence, Store

REST: Final = Cooldown(threshold=3, base=timedelta(seconds=5), cap=timedelta(seconds=30))
UNSEEN: Final = Decision(
    Event.DOUBT, "unknown_code", "errorCode new is not in the dialect", wait=timedelta(seconds=2)
)
HEARD: Final = evidence(answer(status_code="10", error_code="new"))
TOO_MANY: Final = Decision(
    Event.RETRY, "http_429", "HTTP 429", wait=timedelta(seconds=30), spent=False, throttled=True
)

TURNED_AWAY: Final = Decision(
    Event.RETRY,
    "http_403",
    "HTTP 403 of a gateway",
    wait=timedelta(seconds=2),
    spent=False,
    turned_away=True,
)


def roster(*names: str, **limits: Any) -> Roster:
    common = {"secret": "s3cret", "bank_url": "http://127.0.0.1:9/cancel", **limits}
    return Roster({name: Partner(partner_id=name, **common) for name in names or ("P1",)})


class Line:
    """One partner, whose jobs come one after another; each new call passes the gate or not."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.roster = roster()
        self._made = 0

    def uid(self) -> str:
        self._made += 1
        accept(self.store, f"U{self._made}", hinted=True)
        return f"U{self._made}"

    def enter(self) -> Claim | None:
        return self.store.jobs.claim(self.uid(), lease=LEASE, roster=self.roster)

    def call(self) -> Claim:
        mine = self.enter()
        assert mine is not None
        return mine

    def hears(self, decision: Decision, heard: Evidence = UNHEARD) -> None:
        assert settle(self.store, self.call(), decision, heard)

    def proves(self) -> None:
        self.hears(CANCELLED, ANSWERED)

    def rush(self, seconds: float, *, every: float = 0.01) -> list[float]:
        """Try to call every few ms; return when calls were let begin, in seconds from now."""
        begun, start = [], self.clock.now
        while (self.clock.now - start).total_seconds() < seconds:
            if (mine := self.enter()) is not None:
                begun.append((self.clock.now + mine.wait - start).total_seconds())
                settle(self.store, mine, CANCELLED, ANSWERED)
            self.clock.forward(every)
        return begun


@pytest.fixture
def line(engine: Engine, clock: Clock) -> Line:
    return Line(Store(Database(engine, clock=clock), cooldown=REST), clock)


def most_in_a_second(times: list[float]) -> int:
    return max(sum(1 for other in times if at - 1 < other <= at) for at in times)


def test_of_a_partner_that_never_called_one_call_goes_first(line: Line) -> None:
    first = line.call()
    assert [line.enter() for _ in range(5)] == [None] * 5
    settle(line.store, first, CANCELLED, ANSWERED)
    assert all(line.enter() for _ in range(5))


def test_a_partner_sends_one_call_first_though_another_partner_is_proven(line: Line) -> None:
    line.proves()
    both = roster("P1", "P2")
    accept(line.store, "V1", "V2", partner_id="P2")
    claims = [line.store.jobs.claim(uid, lease=LEASE, roster=both) for uid in ("V1", "V2")]
    assert [mine is not None for mine in claims] == [True, False]


def test_a_job_that_was_not_let_in_is_as_it_was_and_may_be_hinted_at_once(line: Line) -> None:
    line.call()
    uid = line.uid()
    before = row(line.store, uid)
    assert line.store.jobs.claim(uid, lease=LEASE, roster=line.roster) is None
    assert row(line.store, uid) == {**before, "hinted_at": None}


def test_of_many_workers_one_goes_first(open_store: OpenStore) -> None:
    stores = [open_store() for _ in range(4)]
    uids = [f"U{n}" for n in range(40)]
    accept(stores[0], *uids)
    with ThreadPoolExecutor(8) as threads:
        claims = list(
            threads.map(
                lambda n: stores[n % 4].jobs.claim(uids[n], lease=LEASE, roster=roster()),
                range(40),
            )
        )
    assert len([mine for mine in claims if mine is not None]) == 1


@pytest.mark.parametrize("decision", [DOWN, LOST, UNSEEN])
def test_calls_go_one_by_one_until_the_bank_has_known_us(line: Line, decision: Decision) -> None:
    """One, and after one that proved nothing, two at once: one token may be at fault."""
    heard = HEARD if decision is UNSEEN else UNHEARD
    first = line.call()
    assert line.enter() is None
    settle(line.store, first, decision, heard)
    _, second = line.call(), line.call()
    assert line.enter() is None
    settle(line.store, second, decision, heard)
    line.proves()
    assert [line.enter() is not None for _ in range(3)] == [True] * 3


def test_a_wrong_secret_costs_one_call(line: Line) -> None:
    line.hears(OURS)
    assert partner(line.store)["mode"] == "paused"
    assert [line.enter() for _ in range(5)] == [None] * 5


def test_after_a_resume_one_call_goes_first_again(line: Line) -> None:
    line.proves()
    under_way = line.call()
    line.hears(OURS)
    line.store.actions.resume_partner("P1", who="op", reason="the secret is right now")
    first = line.call()
    # Begun under the old secret: its answer says nothing about the new one.
    settle(line.store, under_way, CANCELLED, ANSWERED)
    assert line.enter() is None
    settle(line.store, first, CANCELLED, ANSWERED)
    line.clock.forward(1)
    assert line.enter() is not None


def test_a_proof_grows_old_and_is_renewed_by_good_answers(line: Line) -> None:
    line.proves()
    for _ in range(10):
        line.clock.forward(50)
        line.proves()
    mine, other = line.call(), line.call()
    for held in (mine, other):
        settle(line.store, held, CANCELLED, ANSWERED)
    line.clock.forward(61)
    line.call()
    assert line.enter() is None


def test_a_first_call_whose_worker_fell_silent_holds_the_others_for_its_lease(line: Line) -> None:
    line.call()
    line.clock.forward(LEASE - timedelta(seconds=1))
    assert line.enter() is None
    line.clock.forward(1)
    assert line.enter() is not None


def test_when_a_cool_down_ends_one_call_goes_first(line: Line) -> None:
    line.proves()
    for mine in [line.call() for _ in range(3)]:
        settle(line.store, mine, DOWN)
    assert partner(line.store)["mode"] == "cooling"
    for rest, most in ((5, 1), (10, 2), (20, 2), (30, 2), (30, 2)):
        assert line.enter() is None
        line.clock.forward(rest)
        first = [line.call() for _ in range(most)]
        assert [line.enter() for _ in range(4)] == [None] * 4
        for mine in first:
            settle(line.store, mine, DOWN)
    assert partner(line.store)["failures"] == 8


def test_of_two_first_calls_the_answer_to_either_lets_the_others_begin(line: Line) -> None:
    """The bank is well; one token is slow, and its call is under way for all of its deadline."""
    line.hears(LOST)
    slow, quick = line.call(), line.call()
    assert line.enter() is None
    settle(line.store, quick, CANCELLED, ANSWERED)
    assert all(line.enter() for _ in range(3))
    settle(line.store, slow, LOST)
    assert all(line.enter() for _ in range(3))


def test_after_a_resume_one_call_goes_first_though_first_calls_had_failed(line: Line) -> None:
    """A wrong secret costs one call, each time."""
    line.hears(LOST)
    line.hears(OURS)
    line.store.actions.resume_partner("P1", who="op", reason="the secret is right now")
    line.call()
    assert line.enter() is None


def test_the_return_after_a_rest_is_spread_and_quickens(line: Line) -> None:
    for _ in range(3):
        line.hears(DOWN)
    line.clock.forward(5)
    line.proves()
    begun = line.rush(10)
    gaps = [after - before for before, after in pairwise(begun[:25])]
    assert most_in_a_second(begun[:6]) <= 4
    assert all(after < before for before, after in pairwise(gaps))
    assert partner(line.store)["pace"] is None
    assert len(begun) > 300


@pytest.mark.parametrize("rate", [0.5, 2, 10])
def test_no_second_sees_more_calls_than_the_partners_rate(line: Line, rate: float) -> None:
    line.proves()
    line.clock.forward(10)
    line.roster = roster(rate_per_second=rate)
    begun = line.rush(10, every=0.1 / max(rate, 1))
    assert most_in_a_second(begun) <= max(rate, 1)
    assert len(begun) >= 10 * rate * 0.85


def test_all_workers_share_one_rate(open_store: OpenStore, clock: Clock) -> None:
    stores = [open_store(clock) for _ in range(3)]
    lines = [Line(store, clock) for store in stores]
    lines[0].proves()
    clock.forward(10)
    limited = roster(rate_per_second=5)
    claims = []
    for n in range(60):
        uid = f"X{n}"
        accept(stores[0], uid)
        claims.append(stores[n % 3].jobs.claim(uid, lease=LEASE, roster=limited))
    waits = [mine.wait.total_seconds() for mine in claims if mine is not None]
    assert [round(wait, 3) for wait in waits] == [0, 0.222, 0.444, 0.667, 0.889]


def test_a_clock_that_is_set_back_stops_nobody(line: Line) -> None:
    line.proves()
    line.roster = roster(rate_per_second=1)
    line.clock.forward(10)
    line.call()
    line.clock.forward(-3600)
    assert line.call().wait < timedelta(seconds=2)


def test_no_more_calls_are_under_way_than_the_partner_allows(line: Line) -> None:
    line.proves()
    line.roster = roster(max_concurrency=2)
    first, second = line.call(), line.call()
    assert line.enter() is None
    settle(line.store, first, CANCELLED, ANSWERED)
    assert line.enter() is not None
    assert line.enter() is None
    settle(line.store, second, LOST)
    assert line.enter() is not None


def test_of_many_workers_no_more_than_allowed_are_under_way(open_store: OpenStore) -> None:
    stores = [open_store() for _ in range(4)]
    lone = Line(stores[0], Clock())
    lone.proves()
    uids = [f"X{n}" for n in range(40)]
    accept(stores[0], *uids)
    limited = roster(max_concurrency=3)
    with ThreadPoolExecutor(8) as threads:
        claims = list(
            threads.map(
                lambda n: stores[n % 4].jobs.claim(uids[n], lease=LEASE, roster=limited), range(40)
            )
        )
    assert len([mine for mine in claims if mine is not None]) == 3


def test_a_429_lets_the_whole_partner_rest_for_as_long_as_the_bank_said(line: Line) -> None:
    line.proves()
    line.hears(replace(TOO_MANY, retry_after=timedelta(seconds=30)))
    assert only(partner(line.store), "mode", "reason") == ("cooling", "HTTP 429")
    line.clock.forward(29.9)
    assert line.enter() is None
    line.clock.forward(0.1)
    assert line.enter() is not None


def test_a_429_without_a_time_climbs_the_ladder(line: Line) -> None:
    line.proves()
    rests = []
    for _ in range(3):
        line.hears(TOO_MANY)
        stands = partner(line.store)
        rests.append((stands["resume_at"] - line.clock.now).total_seconds())
        line.clock.forward(rests[-1])
    assert rests == [5, 10, 20]


def test_a_429_on_the_very_first_call_rests_as_well(line: Line) -> None:
    settle(line.store, _unconfigured(line), TOO_MANY)
    assert partner(line.store)["resume_at"] == line.clock.now + REST.base


def test_calls_under_way_lengthen_a_rest_only_by_a_time_that_the_bank_named(line: Line) -> None:
    line.proves()
    under_way = [line.call() for _ in range(4)]
    settle(line.store, under_way[0], replace(TOO_MANY, retry_after=timedelta(seconds=30)))
    until = partner(line.store)["resume_at"]
    settle(line.store, under_way[1], TOO_MANY)
    settle(line.store, under_way[2], replace(TOO_MANY, retry_after=timedelta(seconds=10)))
    assert partner(line.store)["resume_at"] == until
    settle(line.store, under_way[3], replace(TOO_MANY, retry_after=timedelta(seconds=60)))
    assert partner(line.store)["resume_at"] == until + timedelta(seconds=30)


def test_the_time_that_a_503_names_is_its_jobs_and_not_the_partners(line: Line) -> None:
    for _ in range(3):
        line.hears(replace(DOWN, retry_after=timedelta(seconds=120)))
    assert partner(line.store)["resume_at"] == line.clock.now + REST.base


def test_a_gateway_that_turns_calls_away_is_probed_by_one_call_at_growing_intervals(
    line: Line,
) -> None:
    line.proves()
    rests = []
    for n in range(10):
        under_way = line.call() if n == 0 else None
        line.hears(TURNED_AWAY)
        assert line.enter() is None
        if under_way:
            settle(line.store, under_way, TURNED_AWAY)
        stands = partner(line.store)
        assert only(stands, "mode", "reason") == ("cooling", "HTTP 403 of a gateway")
        rests.append((stands["resume_at"] - line.clock.now).total_seconds())
        line.clock.forward(rests[-1])
    assert rests == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert line.enter() is not None
    assert line.enter() is None


def test_an_answer_of_the_bank_ends_the_rest_behind_a_gateway(line: Line) -> None:
    line.hears(TURNED_AWAY)
    line.clock.forward(5)
    line.proves()
    assert only(partner(line.store), "mode", "failures", "reason") == ("active", 0, None)


@pytest.mark.parametrize(("named", "seconds"), [(1, 5), (600, 600)])
def test_a_gateway_can_only_lengthen_a_rest(line: Line, named: int, seconds: int) -> None:
    for _ in range(2):
        line.hears(replace(TURNED_AWAY, retry_after=timedelta(seconds=named)))
        line.clock.forward(partner(line.store)["resume_at"] - line.clock.now)
        line.proves()
        line.clock.forward(60)
        line.hears(replace(TURNED_AWAY, retry_after=timedelta(seconds=named)))
        rest = partner(line.store)["resume_at"] - line.clock.now
        assert rest == timedelta(seconds=seconds)
        line.clock.forward(rest)
        line.proves()


def test_after_a_rest_the_job_that_was_turned_away_does_not_go_first(line: Line) -> None:
    """A gateway may refuse one job alone, for what stands in its reference: others go on."""
    accept(line.store, "POISON", expires_at=line.clock.now + timedelta(hours=1))
    accept(line.store, "X1", "X2")
    for _ in range(3):
        (first, *_) = line.store.backlog.hint(high_water=9, again_after=AGAIN, roster=line.roster)
        mine = line.store.jobs.claim(first, lease=LEASE, roster=line.roster)
        assert mine is not None
        if first != "POISON":
            assert settle(line.store, mine, CANCELLED, ANSWERED)
            return
        settle(line.store, mine, TURNED_AWAY)
        line.clock.forward(partner(line.store)["resume_at"] - line.clock.now)
    pytest.fail("one job keeps its partner from all others")


def test_the_sweep_hints_no_more_than_the_gate_lets_in(line: Line) -> None:
    accept(line.store, *(f"X{n}" for n in range(50)))

    def hinted(known: Roster) -> int:
        line.clock.forward(20)
        return len(line.store.backlog.hint(high_water=40, again_after=AGAIN, roster=known))

    assert hinted(roster()) == 2
    line.clock.forward(20)
    line.proves()
    assert hinted(roster()) == 40
    assert hinted(roster(max_concurrency=3)) == 6
    line.proves()
    assert hinted(roster(rate_per_second=5)) == 5
    first = line.store
    line.clock.forward(100)
    assert first.jobs.claim("X0", lease=LEASE, roster=roster()) is not None
    assert hinted(roster()) == 0


@pytest.mark.parametrize("rate", [0.7, 5, 50])
def test_whom_the_sweep_hints_at_the_gate_lets_in(line: Line, rate: float) -> None:
    """Turned away, each would be hinted at again and again, by every worker's sweep."""
    limited = roster(rate_per_second=rate)
    line.proves()
    accept(line.store, *(f"X{n}" for n in range(200)))
    let_in = 0
    for _ in range(40):
        found = line.store.backlog.hint(high_water=128, again_after=AGAIN, roster=limited)
        claims = [line.store.jobs.claim(uid, lease=LEASE, roster=limited) for uid in found]
        assert None not in claims
        let_in += len(claims)
        line.clock.forward(0.25)
    # From the first sweep to the last, and the second that calls may run ahead.
    assert let_in == pytest.approx(min(200, 10.75 * rate * 0.9), abs=1.5)


def test_a_hint_that_came_while_the_partner_rested_counts_as_lost(line: Line) -> None:
    """Its message was refused: the job must not wait for the stamp to grow old as well."""
    line.proves()
    accept(line.store, *(f"X{n}" for n in range(5)), hinted=True)
    line.hears(replace(TOO_MANY, retry_after=timedelta(seconds=2)))
    assert line.store.jobs.claim("X0", lease=LEASE, roster=line.roster) is None

    def hinted() -> list[str]:
        return line.store.backlog.hint(high_water=40, again_after=AGAIN, roster=line.roster)

    assert hinted() == []
    line.clock.forward(2.1)
    first = hinted()
    assert len(first) == 2
    probe = line.store.jobs.claim(first[0], lease=LEASE, roster=line.roster)
    assert probe is not None
    assert hinted() == []
    assert settle(line.store, probe, CANCELLED, ANSWERED)
    line.clock.forward(0.1)
    assert hinted() != []


def test_a_partner_with_a_narrow_gate_leaves_the_conveyor_to_the_others(line: Line) -> None:
    accept(line.store, *(f"X{n}" for n in range(50)))
    accept(line.store, *(f"Y{n}" for n in range(50)), partner_id="P2")
    found = line.store.backlog.hint(high_water=40, again_after=AGAIN, roster=roster())
    assert sorted({uid[0] for uid in found}) == ["X", "Y"]
    assert len([uid for uid in found if uid.startswith("X")]) == 2
    assert len(found) == 40


def test_a_claim_that_was_let_in_is_in_flight(line: Line) -> None:
    mine = line.call()
    assert row(line.store, mine.request.partner_txn_uid)["state"] == State.IN_FLIGHT


def _unconfigured(line: Line) -> Claim:
    mine = line.store.jobs.claim(line.uid(), lease=LEASE, roster=Roster({}))
    assert mine is not None
    return mine

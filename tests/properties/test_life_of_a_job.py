"""
The life of a job under anything that can happen to it, in any order.

Two clocks go here: `real` is the time in which calls last, `wall` the one by which the store
leases. They go together until somebody sets the wall clock. What is promised about that:

- set back, it makes everything wait as much longer, and nothing else;
- set forward, by no more than the lease is longer than the deadline, it changes nothing; by
  more, it ends leases under calls that still last, so that a second call of one uid may start
  while the first goes on. The first one's settlement is then refused, and its answer believed
  only where the job is in doubt. Nothing else that is held here gives way.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, delete, event, select

from tests.integration.stock import Clock
from tests.properties.answers import heard, listed
from worker.config.dialect_file import built_in
from worker.domain.answer import Answer
from worker.domain.backoff import Backoff
from worker.domain.decision import Case, Policy
from worker.domain.destinations import Destination
from worker.domain.judgement import decide, decide_lease_ended
from worker.domain.partners import Roster
from worker.domain.states import FINAL, OUTCOMES, TRANSITIONS, WAITING, Event, Outcome, State
from worker.errors import BankError, JobNotFound
from worker.jobs.sweep import SweepContext, sweep
from worker.store import Claim, Cooldown, Database, Evidence, Status, Store, open_database
from worker.store.schema.tables import cancel_attempts, cancel_jobs, metadata, outbox, partners

UIDS: Final = {f"U{n}": "P1" if n % 3 else "P2" for n in range(1, 7)}
DEADLINE: Final = timedelta(seconds=45)
LEASE: Final = timedelta(seconds=60)
AGAIN: Final = timedelta(seconds=15)
HIGH_WATER: Final = 2
REST: Final = Cooldown(threshold=3, base=timedelta(seconds=5), cap=timedelta(seconds=20))
POLICY: Final = Policy(
    dialect=built_in(),
    backoff=Backoff(base=timedelta(seconds=2), cap=timedelta(seconds=60)),
    inquiry_backoff=Backoff(base=timedelta(seconds=2), cap=timedelta(seconds=60)),
    max_attempts=5,
    max_age=timedelta(hours=6),
)
NOT_AFTER_DOUBT: Final = {Outcome.REFUSED, Outcome.GAVE_UP, Outcome.LAPSED}

Rows = dict[str, dict[str, Any]]


@dataclass
class Call:
    """One call of the bank, as the bank's journal would show it."""

    claim: Claim
    began: timedelta
    wall_began: datetime
    leap: timedelta = timedelta(0)
    ended: timedelta | None = None

    def lasts(self, now: timedelta) -> bool:
        """Say whether the call is under way: no call outlasts its deadline."""
        return self.ended is None and now < self.began + DEADLINE

    def feel(self, wall: datetime, real: timedelta) -> None:
        """Note how far the wall clock has run ahead since the call began."""
        if self.lasts(real):
            self.leap = max(self.leap, (wall - self.wall_began) - (real - self.began))


class Life(RuleBasedStateMachine):
    """Producers, workers, sweeps, operators and clocks, each step one act of one of them."""

    calls = Bundle("calls")

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        with engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))
        self.clock = Clock()
        self.real = timedelta(0)
        database = Database(engine, clock=self.clock)
        self.store = Store(database, cooldown=REST, destinations=tuple(Destination))
        self.journal: list[Call] = []
        self.accepted: dict[str, str] = {}
        self.before: Rows = {}
        self.known: Rows = {}
        self.pruned: dict[str, Any] = {}

    # Producers

    @initialize(target=calls, uids=st.sets(st.sampled_from(sorted(UIDS)), min_size=2))
    def begin(self, uids: set[str]) -> Any:
        for uid in sorted(uids):
            self.enqueue(uid, "T", hinted=False, lives=None)
        self._read()
        return self._deliver(sorted(uids)[::2])

    @rule(
        uid=st.sampled_from(sorted(UIDS)),
        token_id=st.sampled_from(["T", "T", "T", "other"]),
        hinted=st.booleans(),
        lives=st.none() | st.sampled_from([5, 100, 1000]),
    )
    def enqueue(self, uid: str, token_id: str, *, hinted: bool, lives: int | None) -> None:
        expires_at = None if lives is None else self.clock.now + timedelta(seconds=lives)
        order = {
            "uid": uid,
            "partner_id": UIDS[uid],
            "token_id": token_id,
            "reference1": "R",
            "expires_at": expires_at,
        }
        acceptance = self.store.jobs.accept(order, hinted=hinted)
        status = acceptance.status
        stood = self.accepted.setdefault(uid, token_id)
        if uid in self.pruned:
            assert acceptance.outcome == self.pruned[uid]
        if uid not in self.known and uid not in self.pruned:
            assert status is Status.ACCEPTED
        else:
            assert status is (Status.DUPLICATE if stood == token_id else Status.CONFLICT)

    # Workers

    @rule(target=calls, uids=st.lists(st.sampled_from(sorted(UIDS)), min_size=1, max_size=9))
    def deliver(self, uids: list[str]) -> Any:
        return self._deliver(uids)

    def _deliver(self, uids: list[str]) -> Any:
        begun = []
        for uid in uids:
            if uid not in self.known:
                with pytest.raises(JobNotFound):
                    self.store.jobs.claim(uid, lease=LEASE, roster=Roster({}))
                continue
            expected = self._claimable(uid)
            claim = self.store.jobs.claim(uid, lease=LEASE, roster=Roster({}))
            assert (claim is not None) == expected, uid
            self._read(Event.CLAIM)
            if claim is not None:
                begun.append(self._post(claim))
        return multiple(*begun)

    def _claimable(self, uid: str) -> bool:
        job, now = self.known.get(uid), self.clock.now
        if job is None or job["state"] not in WAITING or job["next_attempt_at"] > now:
            return False
        expired = job["expires_at"] is not None and job["expires_at"] <= now
        return not (expired or self._rests(uid))

    def _rests(self, uid: str) -> bool:
        for partner in self.store.partners.all():
            if partner.partner_id == UIDS[uid]:
                cooling = partner.mode == "cooling" and partner.resume_at > self.clock.now
                return bool(partner.mode == "paused" or cooling)
        return False

    def _post(self, claim: Claim) -> Call:
        """Write a call into the journal: the one place where two at once would show."""
        uid = claim.request.partner_txn_uid
        for other in self.journal:
            if other.claim.request.partner_txn_uid == uid and other.lasts(self.real):
                assert other.leap > LEASE - DEADLINE, "two calls of one uid at once"
        call = Call(claim, self.real, self.clock.now)
        self.journal.append(call)
        return call

    @rule(call=consumes(calls), data=st.data())
    def answer(self, call: Call, data: st.DataObject) -> None:
        self._settle(call, data.draw(heard(call.claim.request)), data.draw(st.floats(0, 0.99)))

    def _settle(self, call: Call, said: Answer | BankError, jitter: float = 0.5) -> None:
        """Do as `cancel.attempt` does with what was heard."""
        claim, jobs = call.claim, self.store.jobs
        call.ended = min(self.real, call.began + DEADLINE)
        case = self._case(claim, claim.started_at + (self.real - call.began), jitter)
        evidence = Evidence(
            claim.request.partner_txn_uid,
            call.ended - call.began,
            said if isinstance(said, Answer) else None,
        )
        decision = decide(said, case, POLICY)
        job = self.known.get(claim.request.partner_txn_uid, {"lease_id": None, "state": None})
        owner = job["lease_id"] == claim.lease_id
        assert jobs.settle(claim, decision, evidence) == owner
        if owner:
            self._read(decision.event)
            return
        in_doubt = job["state"] == State.IN_DOUBT
        late = decide(said, replace(case, doubted=True), POLICY)
        ends = in_doubt and late.event in {Event.SUCCEED, Event.REFUSE}
        assert jobs.settle_late(claim, late, evidence) == ends
        self._read(*([late.event] if ends else []))

    def _case(self, claim: Claim, at: datetime, jitter: float = 0.5) -> Case:
        return Case(
            request=claim.request,
            attempts=claim.attempts,
            doubted=claim.doubted,
            created_at=claim.created_at,
            expires_at=claim.expires_at,
            at=at,
            jitter=jitter,
        )

    @rule(call=consumes(calls))
    def crash(self, call: Call) -> None:
        """The worker is killed; its connection ends with it."""
        call.ended = min(self.real, call.began + DEADLINE)

    @rule(target=calls)
    def everybody_waits(self) -> Any:
        """Whoever waits longest is next: otherwise nothing would happen for most of the time."""
        self._go_to_the_next_time()
        return self.sweep(stale=False)

    @rule(target=calls)
    def everybody_is_silent(self) -> Any:
        """All leases end, and the calls under them; their workers still have something to say."""
        self._pass(LEASE)
        return self.sweep(stale=True)

    @rule(target=calls, call=consumes(calls), data=st.data())
    def another_takes_over(self, call: Call, data: st.DataObject) -> Any:
        """A worker falls silent, its job is rescued and claimed by another; then it speaks."""
        uid = call.claim.request.partner_txn_uid
        self._pass(LEASE)
        begun = self.sweep(stale=False)
        due = self.known[uid]["next_attempt_at"] if uid in self.known else None
        if due is not None and due > self.clock.now:
            self._pass(due - self.clock.now)
        begun = multiple(*begun.values, *self._deliver([uid]).values)
        self._settle(call, data.draw(heard(call.claim.request)))
        return begun

    # The sweep

    @rule(target=calls, stale=st.booleans())
    def sweep(self, *, stale: bool) -> Any:
        """One pass; with `stale`, a second copy acts on what it read before the first one did."""
        dead = self.store.backlog.dead(most=10) if stale else []
        hinted: list[str] = []
        sweep(
            SweepContext(
                store=self.store,
                policy=POLICY,
                high_water=HIGH_WATER,
                hint=hinted.extend,
                random=lambda: 0.5,
                roster=lambda: Roster({}),
                hint_again_after=AGAIN,
            )
        )
        for claim in dead:
            decision = decide_lease_ended(self._case(claim, claim.lease_ends_at), POLICY)
            evidence = Evidence(claim.request.partner_txn_uid, LEASE)
            assert not self.store.jobs.settle(claim, decision, evidence)
        self._read(Event.DOUBT, Event.EXHAUST)
        assert len(hinted) == len(set(hinted)) <= HIGH_WATER
        assert all(self._claimable(uid) for uid in hinted)
        for uid, job in self.known.items():
            assert job["state"] != State.IN_FLIGHT or job["lease_ends_at"] > self.clock.now, uid
        return self._deliver(hinted)

    # Operators

    @rule(partner_id=st.sampled_from(["P1", "P2"]))
    def pause(self, partner_id: str) -> None:
        self.store.actions.pause_partner(partner_id, who="op", reason="maintenance")

    @rule(partner_id=st.sampled_from(["P1", "P2"]))
    def resume(self, partner_id: str) -> None:
        self.store.actions.resume_partner(partner_id, who="op", reason="done")

    @rule(outcomes=st.sets(st.sampled_from(Outcome), min_size=4))
    def years_pass(self, outcomes: set[Outcome]) -> None:
        """Jobs that ended so are pruned; what is not final stays."""
        years = timedelta(days=800)
        self._pass(years)
        for outcome in sorted(outcomes):
            self.store.retention.jobs(outcome, older_than=years / 2)
        before = self.known
        self._read()
        for uid in before.keys() - self.known.keys():
            assert before[uid]["outcome"] in outcomes
            self.pruned[uid] = before[uid]["outcome"]

    # Time

    @rule(seconds=st.sampled_from([0.0005, 1, 3, 14, 16, 44, 46, 61]))
    def time_passes(self, seconds: float) -> None:
        self._pass(timedelta(seconds=seconds))

    @rule()
    def hours_pass(self) -> None:
        self._pass(timedelta(hours=2))

    def _pass(self, by: timedelta) -> None:
        self.clock.now += by
        self.real += by

    @rule(seconds=st.sampled_from([-600, -40, -1, 1, 14, 16, 100]))
    def clock_is_set(self, seconds: int) -> None:
        self.clock.now += timedelta(seconds=seconds)
        for call in self.journal:
            call.feel(self.clock.now, self.real)

    # What holds after every step

    def _read(self, *events: Event) -> None:
        """Read all jobs; since they were read last, only these events may have happened."""
        with self.store.database.reading() as connection:
            rows = [row._asdict() for row in connection.execute(cancel_jobs.select())]
        for job in rows:
            before = self.known.get(job["partner_txn_uid"])
            states = {State(before["state"])} if before else {State.PENDING}
            for event_ in events:
                arrow = TRANSITIONS[event_]
                states |= {arrow.target} if states & arrow.sources else set()
            assert State(job["state"]) in states, (before, job)
        self.known = {row["partner_txn_uid"]: row for row in rows}

    @invariant()
    def holds(self) -> None:
        self._read()
        with self.store.database.reading() as connection:
            evidence = [row._asdict() for row in connection.execute(cancel_attempts.select())]
            resting = [row._asdict() for row in connection.execute(partners.select())]
            told = Counter(connection.execute(select(outbox.c.partner_txn_uid)).scalars())
        assert set(self.known) == set(self.accepted) - set(self.pruned)
        for uid, job in self.known.items():
            # Each end is told once by each way: whoever ended the job, and however.
            assert told[uid] == len(Destination) * job["ends"]
            assert (job["ends"] > 0) or job["outcome"] is None
            self._holds_for(job, [row for row in evidence if row["partner_txn_uid"] == uid])
            if uid in self.before:
                self._has_moved_rightly(self.before[uid], job)
        for row in resting:
            assert (row["mode"] == "cooling") == (row["resume_at"] is not None)
        self.before = self.known

    @staticmethod
    def _holds_for(job: dict[str, Any], evidence: list[dict[str, Any]]) -> None:
        state, outcome = State(job["state"]), job["outcome"]
        flying = state is State.IN_FLIGHT
        assert outcome in OUTCOMES[state] if state in FINAL else outcome is None
        spent = [row for row in evidence if row["kind"] == "cancel" and row["spent"]]
        assert job["attempts"] == sum(1 + row["folded"] for row in spent) + flying
        assert job["conversations"] == sum(1 + row["folded"] for row in evidence) + flying
        numbers = [row["number"] for row in evidence]
        assert len({*numbers}) == len(numbers)
        assert all(1 <= number <= job["conversations"] - flying for number in numbers)
        assert job["attempts"] <= POLICY.max_attempts
        assert job["doubted"] or not any(row["decision"] == Event.DOUBT for row in evidence)
        assert not (job["doubted"] and outcome in NOT_AFTER_DOUBT)

    @staticmethod
    def _has_moved_rightly(before: dict[str, Any], job: dict[str, Any]) -> None:
        if before["state"] in FINAL:
            assert job == before
        assert job["conversations"] >= before["conversations"]
        assert job["doubted"] >= before["doubted"]
        assert job["created_at"] == before["created_at"]
        assert job["token_id"] == before["token_id"]

    # Every accepted job reaches an end

    def teardown(self) -> None:
        """Let the bank be well, the partners be awake and the clock go on: all jobs end."""
        for call in self.journal:
            call.ended = call.ended or min(self.real, call.began + DEADLINE)
        for partner_id in ("P1", "P2"):
            self.store.actions.resume_partner(partner_id, who="op", reason="all is well")
        self.holds()
        for _ in range(30):
            if all(job["state"] in FINAL for job in self.known.values()):
                return
            self._go_to_the_next_time()
            for call in self.sweep(stale=False).values:
                self._settle(call, listed(call.claim.request, "CANCELLED"))
            self.holds()
        pytest.fail(f"jobs that never end: {self.known}")

    def _go_to_the_next_time(self) -> None:
        """Let as much time pass as somebody waits for, and a hint's staleness."""
        times = (
            job[name]
            for job in self.known.values()
            for name in ("next_attempt_at", "lease_ends_at")
            if job[name] is not None
        )
        ahead = [moment - self.clock.now for moment in times if moment > self.clock.now]
        self._pass(min(ahead, default=timedelta(0)) + AGAIN)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = open_database(database).engine
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _careless(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA synchronous=OFF")

    yield engine
    engine.dispose()


def test_a_job_lives_by_its_laws_whatever_happens(engine: Engine) -> None:
    class LifeHere(Life):
        def __init__(self) -> None:
            super().__init__(engine)

    run_state_machine_as_test(
        LifeHere,
        settings=settings(
            max_examples=25 if engine.dialect.name == "sqlite" else 7,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

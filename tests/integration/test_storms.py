"""Ten thousand jobs and a wrong secret; a bank that is away for ten minutes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import pytest
from sqlalchemy import insert

from tests.integration.attempting import only_postgresql
from tests.integration.conftest import OpenStore
from tests.integration.stock import AGAIN, LEASE, Clock, Monotonic, only, partner
from tests.servers.workers import PARTNER_ID, SECRET
from worker.bank import Bank
from worker.domain.kplus import RequestDt
from worker.domain.partners import Roster
from worker.domain.states import State
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext, Result
from worker.sandbox import Sandbox
from worker.sandbox.journal import busiest_second
from worker.store import Store
from worker.store.schema.tables import cancel_jobs

PASS: Final = timedelta(seconds=2)
"""How often a worker sweeps."""
WORKERS: Final = 4
MANY: Final = 2_000


@pytest.fixture
def bank() -> Iterator[Bank]:
    """The threads of a storm leave the bank's own little time: no deadline may pass for that."""
    bank = Bank(deadline=LEASE, request_dt=RequestDt.UNIX, connections=32)
    yield bank
    bank.close()


@pytest.fixture
def context(context: AttemptContext) -> AttemptContext:
    return replace(context, deadline=LEASE)


def accept_many(store: Store, count: int, at: datetime) -> list[str]:
    """Store jobs as an order system may: by plain SQL of its own."""
    uids = [f"U{n:05}" for n in range(count)]
    times = {"created_at": at, "updated_at": at, "next_attempt_at": at}
    rows = [
        {
            "partner_txn_uid": uid,
            "partner_id": PARTNER_ID,
            "token_id": f"ok-{uid}",
            "reference1": "R",
            **times,
        }
        for uid in uids
    ]
    with store.database.engine.begin() as connection:
        connection.execute(insert(cancel_jobs), rows)
    return uids


def changed(context: AttemptContext, **fields: object) -> AttemptContext:
    """Return the means with another partner of the same name."""
    known = context.roster()[PARTNER_ID]
    roster = Roster({PARTNER_ID: known.model_validate(known.model_dump() | fields)})
    return replace(context, roster=lambda: roster)


@only_postgresql
def test_ten_thousand_jobs_and_a_wrong_secret_cost_one_call(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    sandbox.expect_secrets({PARTNER_ID: SECRET})
    uids = accept_many(context.store, 10_000, clock.now)
    wrong = changed(context, secret="wrong-at-three")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda uid: attempt(uid, wrong), uids, chunksize=100))
    assert len(sandbox.journal) <= 3
    stats = context.store.reports.stats()
    assert (stats.attempts, set(stats.outcomes.values())) == (0, {0})
    assert partner(context.store, PARTNER_ID)["mode"] == "paused"

    shown = {PARTNER_ID: context.roster()[PARTNER_ID].credentials}
    assert context.store.partners.resume_changed(shown) == [PARTNER_ID]
    before, some = len(sandbox.journal), uids[:MANY]
    _let_in(context, some, clock)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda uid: attempt(uid, context), some, chunksize=100))
    assert context.store.reports.stats().states[State.SUCCEEDED] == len(some)
    assert len(sandbox.journal) - before == len(some)


def _let_in(context: AttemptContext, uids: list[str], clock: Clock) -> None:
    """Make calls, one a second, until the partner needs no gate any more."""
    for uid in uids:
        clock.forward(3)
        attempt(uid, context)
        if partner(context.store, PARTNER_ID)["pace"] is None:
            return


@dataclass
class Fleet:
    """Workers on one clock that goes pass by pass; `begun` is when each call began."""

    workers: list[AttemptContext]
    clock: Clock
    begun: list[float]

    def sweep(self) -> None:
        """Let every worker sweep, and attempt what its sweep hinted at."""
        for context in self.workers:
            due = context.store.backlog.hint(
                high_water=128, again_after=AGAIN, roster=context.roster()
            )
            for uid in due:
                waits = Monotonic()
                mine = replace(context, monotonic=waits, sleep=waits.sleep)
                if attempt(uid, mine) is Result.SETTLED:
                    self.begun.append(self.clock.now.timestamp() + sum(waits.slept))
        self.clock.forward(PASS)


@pytest.fixture
def fleet(context: AttemptContext, open_store: OpenStore, clock: Clock) -> Fleet:
    limited = changed(context, rate_per_second=50.0)
    workers = [replace(limited, store=open_store(clock)) for _ in range(WORKERS)]
    return Fleet(workers, clock, [])


@only_postgresql
def test_a_bank_that_is_away_for_ten_minutes_sees_one_probe_a_cool_down(
    context: AttemptContext, sandbox: Sandbox, clock: Clock, fleet: Fleet
) -> None:
    accept_many(context.store, MANY, clock.now)
    sandbox.change_rules(mode="down")
    for _ in range(300):
        fleet.sweep()
    # Five make the run; then 5, 10, 20, 40, 80, 160 and 300 seconds of rest, a probe after each.
    assert len(fleet.begun) <= 5 + 7
    assert context.store.reports.stats().states[State.EXHAUSTED] == 0
    assert partner(context.store, PARTNER_ID)["mode"] == "cooling"

    sandbox.change_rules(mode="ok")
    away, fleet.begun = len(sandbox.journal), []
    for _ in range(500):
        fleet.sweep()
        if context.store.reports.stats().states[State.SUCCEEDED] == MANY:
            break
    assert only(context.store.reports.stats().states, State.SUCCEEDED, State.EXHAUSTED) == (MANY, 0)
    assert len(sandbox.journal) - away == MANY
    assert busiest_second(sorted(fleet.begun)) <= 50

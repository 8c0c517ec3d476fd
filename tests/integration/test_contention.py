"""Everybody at once: no deadlock, no lost update, no job with two owners."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Final

from sqlalchemy import select

from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    ANSWERED,
    BUSY,
    CANCELLED,
    DOWN,
    LOST,
    OURS,
    PAID,
    SILENT,
    UNHEARD,
    accept,
    claim,
    hint,
    order,
)
from worker.config.dialect_file import built_in
from worker.domain.states import State
from worker.store import Claim, Store
from worker.store.schema.tables import cancel_attempts, cancel_jobs

UIDS: Final = [f"U{n}" for n in range(12)]
DECISIONS: Final = (CANCELLED, PAID, BUSY, LOST, DOWN, OURS)
ROUNDS: Final = 25
BUILT_IN: Final = built_in()


def test_everybody_may_do_everything_at_once(open_store: OpenStore) -> None:
    """PostgreSQL ends a deadlock by an error, SQLite by running out of patience."""

    def ahead() -> datetime:
        """Waits are over at once, and leases end within the run."""
        return datetime.now(UTC) + timedelta(seconds=chance.choice((0, 5, 70)))

    chance = random.Random(7)  # noqa: S311 - no secret hangs on it
    stores = [open_store(ahead) for _ in range(3)]
    accept(stores[0], *UIDS, partner_id="P1")
    start = Barrier(6)
    acts: list[Callable[[Store], object]] = [_work, _work, _work, _rescue, _hint, _operate]

    def run(n: int) -> None:
        start.wait()
        for _ in range(ROUNDS):
            acts[n](stores[n % len(stores)])
        # Whoever waits for SQLite may have paused the partner, and be overtaken by all others.
        while acts[n] is _work and not _somebody_has_claimed(stores[0]):
            _work(stores[n % len(stores)])

    with ThreadPoolExecutor(len(acts)) as threads:
        list(threads.map(run, range(len(acts))))
    assert _somebody_has_claimed(stores[0])
    _everything_adds_up(stores[0])


def _somebody_has_claimed(store: Store) -> bool:
    claimed = select(cancel_jobs.c.partner_txn_uid).where(cancel_jobs.c.conversations > 0)
    return bool(store.database.read(claimed.limit(1)))


def _work(store: Store) -> None:
    for uid in random.sample(UIDS, 3):
        store.jobs.accept(order(uid), hinted=False)
        mine = claim(store, uid)
        if mine is not None:
            _answer(store, mine)


def _answer(store: Store, mine: Claim) -> None:
    decision = random.choice(DECISIONS)  # noqa: S311 - no secret hangs on it
    if not store.jobs.settle(mine, decision, ANSWERED):
        store.jobs.settle_late(mine, decision, ANSWERED)


def _rescue(store: Store) -> None:
    for dead in store.backlog.dead(most=10):
        store.jobs.settle(dead, SILENT, UNHEARD)
    store.backlog.exhaust(most=5, inquirers=[])


def _hint(store: Store) -> None:
    assert len(hint(store, high_water=4)) <= 4


def _operate(store: Store) -> None:
    store.actions.pause_partner("P1", who="op", reason="maintenance")
    store.actions.resume_partner("P1", who="op", reason="done")
    store.partners.resume_changed({"P1": "0"})
    store.reports.stats()
    for uid in random.sample(UIDS, 3):
        store.actions.rejudge(uid, BUILT_IN, who="op", reason="taught")


def _everything_adds_up(store: Store) -> None:
    with store.database.reading() as connection:
        jobs = connection.execute(cancel_jobs.select()).all()
        evidence = connection.execute(cancel_attempts.select()).all()
    for job in jobs:
        rows = [row for row in evidence if row.partner_txn_uid == job.partner_txn_uid]
        flying = job.state == State.IN_FLIGHT
        assert job.attempts == sum(row.spent for row in rows) + flying
        assert sorted(row.number for row in rows) == list(range(1, job.conversations + 1 - flying))

"""What the statements cost as the tables grow: ten thousand jobs, a million, ten million."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

from sqlalchemy import create_engine, text

from benchmarks.figures import Ratio, Series
from benchmarks.orders import hints_at_new, orders
from benchmarks.stage import Stage
from benchmarks.stub import answer_to
from tests.servers.workers import PARTNER_ID, SECRET
from worker.domain.answer import Answer
from worker.domain.decision import Decision
from worker.domain.partners import Partner, Roster
from worker.domain.states import Event, Outcome
from worker.jobs.sweep import BATCH, HINT_AGAIN_AFTER
from worker.store import Evidence, Store, open_database

SIZES = (10_000, 1_000_000, 10_000_000)
PART = 1_000_000
WAITING = 50
"""One job in so many waits for its turn; the others have ended."""
CLAIMS = 300
SWEEPS = 20
HIGH_WATER = 128
LEASE = timedelta(seconds=60)

_JOBS = """
INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1, state, outcome,
    token_status, status_code, attempts, conversations, created_at, updated_at, next_attempt_at,
    finished_at)
SELECT 'T' || lpad(n::text, 9, '0'), :partner, 'KMCMPT' || n, 'order-' || n,
    CASE WHEN waits THEN 'pending' ELSE 'succeeded' END,
    CASE WHEN NOT waits THEN 'cancelled' END,
    CASE WHEN NOT waits THEN 'CANCELLED' END, CASE WHEN NOT waits THEN '00' END,
    CASE WHEN waits THEN 0 ELSE 1 END, CASE WHEN waits THEN 0 ELSE 1 END, at, at,
    CASE WHEN waits THEN at END, CASE WHEN NOT waits THEN at END
FROM (SELECT n, n % :waiting = 0 AS waits, now() - (:last - n) * interval '0.1 s' AS at
    FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS n) AS made
"""
_ATTEMPTS = """
INSERT INTO cancel_attempts (partner_txn_uid, number, kind, wire_uid, started_at, finished_at,
    duration_ms, http_status, status_code, heard, decision, spent, detail)
SELECT partner_txn_uid, 1, 'cancel', partner_txn_uid, finished_at, finished_at, 90, 200, '00',
    'cancelled', 'succeed', true, 'token status CANCELLED'
FROM cancel_jobs WHERE state = 'succeeded'
"""
_TOKENS = """
INSERT INTO token_statuses (partner_txn_uid, number, position, token_id, reference1, status,
    observed_at)
SELECT partner_txn_uid, 1, 0, token_id, reference1, 'CANCELLED', finished_at
FROM cancel_jobs WHERE state = 'succeeded'
"""
_CANCELLED = Decision(
    Event.SUCCEED,
    "cancelled",
    "token status CANCELLED",
    outcome=Outcome.CANCELLED,
    token_status="CANCELLED",  # noqa: S106 -- a status
    proves_partner=True,
)
_UNHINT = "UPDATE cancel_jobs SET hinted_at = NULL WHERE hinted_at IS NOT NULL"


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield what claim, settlement, sweep and `stats` take in each size, against the smallest."""
    with ExitStack() as stack:
        tables = [stack.enter_context(_filled(stage, size)) for size in SIZES]
        for turn in range(repeat + 1):
            for each in tables:
                each.turn(turn, counts=turn > 0)
        for what in ("claim", "settle", "sweep"):
            least, *others = (each.series(what) for each in tables)
            for size, series in zip(SIZES[1:], others, strict=True):
                yield Ratio(f"time: {what}, {size:,} jobs", series, least, most=1.25)
        a_second = Series("", "ms", [1000.0] * repeat)
        for each in tables:
            bar = 1.0 if each.size == max(SIZES) else None
            yield Ratio(
                f"time: stats, {each.size:,} jobs", each.series("stats"), a_second, most=bar
            )


class Table:
    """Tables of one size, and what the statements took in its turns: medians, in ms."""

    def __init__(self, size: int, store: Store) -> None:
        self.size = size
        self._store = store
        self._took: dict[str, list[float]] = {}
        partner = Partner(partner_id=PARTNER_ID, secret=SECRET, bank_url="http://127.0.0.1:9/")
        self._roster = Roster({PARTNER_ID: partner})

    def turn(self, number: int, *, counts: bool) -> None:
        """Claim, settle, sweep and count."""
        took = {
            **self._conversations(orders(number, count=CLAIMS, prefix="C")),
            "sweep": [self._sweep() for _ in range(SWEEPS)],
            "stats": [_timed(self._store.reports.stats)],
        }
        if counts:
            for what, each in took.items():
                self._took.setdefault(what, []).append(median(each))

    def series(self, what: str) -> Series:
        """Return the turns of one kind."""
        return Series(f"{what}, {self.size:,}", "ms", self._took[what])

    def _conversations(self, brought: list[dict[str, str]]) -> dict[str, list[float]]:
        took: dict[str, list[float]] = {"claim": [], "settle": []}
        hints_at_new(self._store, brought)
        jobs = self._store.jobs
        for order in brought:
            began = time.perf_counter()
            claim = jobs.claim(order["partnerTxnUid"], lease=LEASE, roster=self._roster)
            took["claim"].append(1000 * (time.perf_counter() - began))
            assert claim is not None, f"{order} could not be claimed"
            settle = partial(jobs.settle, claim, _CANCELLED, _evidence(order))
            took["settle"].append(_timed(settle))
        return took

    def _sweep(self) -> float:
        """Time a pass that finds the conveyor empty, and more due jobs than fit on it."""
        with self._store.database.writing() as connection:
            connection.execute(text(_UNHINT))
        hinted: list[str] = []
        took = _timed(lambda: hinted.extend(self._pass()))
        assert len(hinted) == min(HIGH_WATER, self.size // WAITING), f"{len(hinted)} were hinted"
        return took

    def _pass(self) -> list[str]:
        backlog = self._store.backlog
        assert not backlog.dead(most=BATCH)
        assert not backlog.exhaust(most=BATCH, inquirers=[])
        return backlog.hint(
            high_water=HIGH_WATER, again_after=HINT_AGAIN_AFTER, roster=self._roster
        )


@contextmanager
def _filled(stage: Stage, size: int) -> Iterator[Table]:
    """Yield tables with so many jobs, vacuumed and analysed as autovacuum does it in time."""
    with stage.database() as url:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("SET session_replication_role = replica"))
            for first in range(1, size + 1, PART):
                given = {"first": first, "last": min(size, first + PART - 1)}
                connection.execute(
                    text(_JOBS), {**given, "waiting": WAITING, "partner": PARTNER_ID}
                )
            for statement in (_ATTEMPTS, _TOKENS, "VACUUM ANALYZE"):
                connection.execute(text(statement))
        engine.dispose()
        store = Store(open_database(url))
        try:
            yield Table(size, store)
        finally:
            store.close()


def _evidence(order: dict[str, str]) -> Evidence:
    answer = Answer.read(http_status=200, headers={}, body=answer_to(order), at=datetime.now(UTC))
    return Evidence(
        wire_uid=order["partnerTxnUid"],
        duration=timedelta(seconds=0.1),
        answer=answer,
        credentials="benchmark",
    )


def _timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - began)

"""What a pass of the sweep costs as the backlog and the roster grow, whoever's the backlog is."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from sqlalchemy import create_engine, text

from benchmarks.figures import Ratio, Series
from benchmarks.stage import CONCURRENCY, Stage
from tests.servers.workers import SECRET
from worker.domain.gate import PROOF_LASTS
from worker.domain.partners import Partner, Roster
from worker.jobs.sweep import BATCH, HINT_AGAIN_AFTER
from worker.runtime import HINTS_PER_SLOT, RUNS_PER_SLOT
from worker.store import Store, open_database

HIGH_WATER = CONCURRENCY * HINTS_PER_SLOT
RUNS = CONCURRENCY * RUNS_PER_SLOT
PASSES = 20
BAR = 1.25

_JOBS = """
INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1, created_at, updated_at,
    next_attempt_at, expires_at)
SELECT 'B' || lpad(n::text, 9, '0'), 'P' || lpad(({owner})::text, 4, '0'), 'T' || n, 'R' || n,
    now(), now(), now() - interval '1 s', now() + interval '1 day' + n * interval '1 ms'
FROM generate_series(1, :jobs) AS n
"""
_PARTNERS = """
INSERT INTO partners (partner_id, proven_at, updated_at, mode, reason)
SELECT 'P' || lpad(n::text, 4, '0'), now(), now() - interval '1 day',
    CASE WHEN n = 0 AND :paused THEN 'paused' ELSE 'active' END,
    CASE WHEN n = 0 AND :paused THEN 'a benchmark' END
FROM generate_series(0, :partners - 1) AS n
"""
_AGAIN = text("UPDATE cancel_jobs SET hinted_at = NULL, hints = 0 WHERE hinted_at IS NOT NULL")
# Seldom, as in real life: each update leaves a dead row.
_PROVEN = text("UPDATE partners SET proven_at = now() WHERE proven_at < now() - :age")

KINDS = {
    # Who owns the job of a number, whether the first partner is limited, and whether it is paused.
    "everybody's": ("n % {partners}", None, False),
    "in blocks": ("n * ({partners} - 1) / {jobs}", None, False),
    "one partner's, the others idle": ("1", None, False),
    "a limited partner's in front": ("CASE WHEN n % 500 = 0 THEN 1 + n % 999 ELSE 0 END", 5, False),
    "a paused partner's in front": (
        "CASE WHEN n % 500 = 0 THEN 1 + n % 999 ELSE 0 END",
        None,
        True,
    ),
}


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield what a pass takes with a million waiting jobs, against one with ten thousand."""
    with ExitStack() as stack:
        small = stack.enter_context(_filled(stage, "everybody's", jobs=10_000, partners=3))
        large = [
            stack.enter_context(_filled(stage, kind, jobs=1_000_000, partners=1_000))
            for kind in KINDS
        ]
        for turn in range(repeat + 1):
            # In turn, so that a slow moment of the machine is everybody's.
            for _ in range(PASSES):
                for each in (small, *large):
                    each.make_pass()
            for each in (small, *large):
                each.end_turn(counts=turn > 0)
        for each in large:
            name = f"time: a sweep, 1,000 partners, 1,000,000 waiting, {each.kind}"
            yield Ratio(name, each.series(), small.series(), most=BAR)


class Backlog:
    """Waiting jobs, and what the passes took in each turn: medians, in ms."""

    def __init__(self, kind: str, store: Store, roster: Roster) -> None:
        self.kind = kind
        self._store, self._roster = store, roster
        self._took: list[float] = []
        self._passes: list[float] = []

    def series(self) -> Series:
        """Return the turns."""
        return Series(self.kind, "ms", self._took)

    def make_pass(self) -> None:
        """Time a pass that finds the conveyor empty, and more due jobs than fit on it."""
        self._passes.append(self._pass())

    def end_turn(self, *, counts: bool) -> None:
        """Keep the median of the turn's passes."""
        if counts:
            self._took.append(median(self._passes))
        self._passes.clear()

    def _pass(self) -> float:
        with self._store.database.writing() as connection:
            connection.execute(_AGAIN)
            connection.execute(_PROVEN, {"age": PROOF_LASTS / 2})
        backlog, began = self._store.backlog, time.perf_counter()
        backlog.dead(most=BATCH)
        backlog.exhaust(most=BATCH, inquirers=[])
        hinted = backlog.hint(
            high_water=HIGH_WATER, runs=RUNS, again_after=HINT_AGAIN_AFTER, roster=self._roster
        )
        took = 1000 * (time.perf_counter() - began)
        assert len(hinted) > RUNS * 3 / 4, f"{len(hinted)} were hinted"
        return took


@contextmanager
def _filled(stage: Stage, kind: str, *, jobs: int, partners: int) -> Iterator[Backlog]:
    """Yield a database with so many waiting jobs, vacuumed and analysed as autovacuum does it."""
    owner, rate, paused = KINDS[kind]
    with stage.database() as url:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            insert = _JOBS.format(owner=owner.format(partners=partners, jobs=jobs))
            connection.execute(text("SET session_replication_role = replica"))
            connection.execute(text(insert), {"jobs": jobs})
            connection.execute(text(_PARTNERS), {"partners": partners, "paused": paused})
            connection.execute(text("VACUUM ANALYZE"))
        engine.dispose()
        store = Store(open_database(url))
        try:
            yield Backlog(kind, store, _roster(partners, rate))
        finally:
            store.close()


def _roster(count: int, rate: float | None) -> Roster:
    names = [f"P{number:04}" for number in range(count)]
    return Roster(
        {
            name: Partner(
                partner_id=name,
                secret=SECRET,
                bank_url="http://127.0.0.1:9/",
                rate_per_second=rate if name == names[0] else None,
            )
            for name in names
        }
    )

"""One run: play the scenario, let everything reach its end, and have it judged."""

import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from tests.servers.waiting import FACTOR, eventually
from tests.servers.workers import PARTNER_ID
from tests.survival.arena import Arena
from tests.survival.checker import Seen, Verdict, check
from tests.survival.load import QUEUE, Load
from tests.survival.remarks import NOTHING, Remark
from tests.survival.scenarios import Scenario
from worker.store import JobFile, JobFilter
from worker.store.schema.tables import cancel_attempts


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    verdict: Verdict
    faults: Counter[str]
    sent_again: int
    fallen: list[str]
    seconds: float
    remark: Remark = NOTHING
    most_stall: float | None = None

    @property
    def holds(self) -> bool:
        """Whether all invariants hold, the scenario's own too, and no worker ended by itself."""
        return not (self.fallen or self.complaints) and self.verdict.holds

    @property
    def complaints(self) -> list[str]:
        """What did not hold of what this scenario asks for beside the invariants."""
        stall = self.verdict.stall.total_seconds()
        stood = self.most_stall is not None and stall > self.most_stall
        return [*self.remark.complaints, *([f"nothing moved for {stall:.1f} s"] if stood else [])]

    def line(self, name: str) -> str:
        """Return the run as one line of the table."""
        told = ", ".join(f"{fault} {count}" for fault, count in sorted(self.faults.items()))
        if self.sent_again:
            told += f"; {self.sent_again} sent again"
        if self.remark.words:
            told += f"; {self.remark.words}"
        return self.verdict.line(name, faults=told or "none", seconds=self.seconds)


def run(scenario: Scenario, arena: Arena, load: Load) -> Result:
    """Play a scenario to its end. What is broken then stands in the result; nothing is raised."""
    began = time.monotonic()
    scenario.play(arena, load)
    sent_again = _let_it_end(scenario, arena, load)
    return Result(
        verdict=check(_seen(arena, load)),
        faults=arena.faults,
        sent_again=sent_again,
        fallen=arena.fallen(),
        seconds=time.monotonic() - began,
        remark=scenario.remark(arena, load) if scenario.remark else NOTHING,
        most_stall=scenario.stall,
    )


def _let_it_end(scenario: Scenario, arena: Arena, load: Load) -> int:
    """Offer what nobody took, and wait until every job is final, or the patience is spent."""
    if not arena.seated:
        arena.start("a")
    patience = scenario.patience * FACTOR
    until = time.monotonic() + patience
    while len(load.accepted) < len(load.jobs) and time.monotonic() < until:
        load.offer_again()
    sent_again = 0
    if scenario.forgetful:
        with suppress(AssertionError):
            eventually(lambda: _queued(arena) == 0, within=patience)
        sent_again = load.send_again(arena.store.jobs.exists)
    left = max(1.0, until - time.monotonic())
    try:
        eventually(lambda: _all_ended(arena, load), within=left, saying=arena.stacks)
    except AssertionError as error:
        # Where the workers stood is for whoever reads the failure of the test.
        sys.stdout.write(f"{error}\n")
    return sent_again


def _queued(arena: Arena) -> int:
    with arena.redis.client() as client:
        return int(client.llen(QUEUE))


def _all_ended(arena: Arena, load: Load) -> bool:
    # The rows first, which only grow: one that comes between the two looks may still be moving.
    return arena.rows() >= len(load.jobs) and arena.moving() == 0


def _seen(arena: Arena, load: Load) -> Seen:
    journal = arena.bank.journal
    tokens = {job.token: arena.bank.token(job.token) for job in load.jobs}
    return Seen(
        jobs=load.jobs,
        posts=[post for post in journal.entries() if post.partner_id == PARTNER_ID],
        overlaps=journal.overlaps(),
        lives={name: token.status.value for name, token in tokens.items() if token is not None},
        files=_files(arena),
        busiest_second=journal.busiest_second(PARTNER_ID),
    )


def _files(arena: Arena) -> dict[str, JobFile]:
    """Return the file of every stored job, ordered or not; thousands in two statements."""
    store = arena.store
    attempts: dict[str, list[dict[str, Any]]] = {}
    by_age = select(cancel_attempts).order_by(cancel_attempts.c.number)
    for row in store.database.read(by_age):
        attempts.setdefault(row.partner_txn_uid, []).append(dict(row._mapping))  # noqa: SLF001 - public, for all its name
    ours = JobFilter(partner_id=PARTNER_ID)
    return {
        job["partner_txn_uid"]: JobFile(job, attempts.get(job["partner_txn_uid"], []), [])
        for job in store.reports.jobs(ours, most=1_000_000)
    }

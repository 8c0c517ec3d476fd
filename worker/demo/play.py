"""The course of the demo: enqueue, deliver again and again, kill the worker, wait, prove."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from worker.demo.plan import SLOW, Planned, plan
from worker.demo.proof import Proof, prove
from worker.demo.stage import Stage
from worker.domain.states import FINAL

REPEATS = 3
PATIENCE = 180.0
LOOK = 0.05


class Audience(Protocol):
    """Whoever is told what happens."""

    def say(self, text: str) -> None:
        """Tell one thing that happened."""

    def count(self, final: int, posts: int) -> None:
        """Tell how far it has come."""

    def counting(self, total: int) -> AbstractContextManager[None]:
        """Return a context in which `count` is shown."""


def play(stage: Stage, *, jobs: int, screen: Audience) -> Proof:
    """Run the whole course and return the proof."""
    planned = plan(jobs)
    screen.say(f"database {stage.settings.home}, bank {stage.bank.url}, private broker")
    stage.start_worker()
    for job in planned:
        stage.producer.enqueue(job.order)
    screen.say(f"{len(planned)} jobs enqueued: the row first, then one message each")
    _deliver(stage, planned)
    screen.say(f"each delivered {REPEATS} times more, by hints and by whole messages")
    with screen.counting(len(planned)):
        _kill_in_mid_call(stage, screen)
        _wait_for_the_end(stage, len(planned), screen)
    screen.say("all jobs are final")
    posts = len(stage.bank.journal)
    messages = _deliver(stage, planned)
    _wait_for_silence(stage)
    return prove(stage, planned, messages=messages, posts_before=posts)


def _deliver(stage: Stage, planned: list[Planned]) -> int:
    for repeat in range(REPEATS):
        for job in planned:
            stage.deliver(job.order, whole=repeat % 2 == 0)
    return REPEATS * len(planned)


def _kill_in_mid_call(stage: Stage, screen: Audience) -> None:
    """Kill the worker while the bank works on a call of its, so that the answer is lost."""

    def asked_slowly() -> bool:
        return any(
            entry.finished_at is None and entry.scenario == SLOW.rstrip("0123456789")
            for entry in stage.bank.journal.entries()
        )

    _wait(lambda: asked_slowly() and _final(stage, screen) > 0, "a slow call of the bank")
    pid = stage.kill_worker()
    under_way = stage.store.reports.stats().states["in_flight"]
    screen.say(f"kill -9 of the worker (pid {pid}) with {under_way} calls under way")
    pid = stage.start_worker()
    screen.say(f"a new worker (pid {pid}); it must find out what became of them")


def _wait_for_the_end(stage: Stage, total: int, screen: Audience) -> None:
    _wait(lambda: _final(stage, screen) >= total, "all jobs to be final")


def _wait_for_silence(stage: Stage) -> None:
    """Wait until every message is taken, and let the worker finish what it took."""
    _wait(lambda: stage.queued() == 0, "the queue to be empty")
    stage.stop_workers()


def _final(stage: Stage, screen: Audience) -> int:
    states = stage.store.reports.stats().states
    final = sum(states[state] for state in FINAL)
    screen.count(final, len(stage.bank.journal))
    return final


def _wait(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"the demo waited {PATIENCE:.0f} s in vain for {what}")
        time.sleep(LOOK)

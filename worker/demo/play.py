"""The steps of the demo: enqueue, repeat the messages, kill the worker, wait, prove."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from worker.demo.plan import SLOW, Planned, plan
from worker.demo.proof import Proof, prove
from worker.demo.stage import Stage
from worker.domain.states import FINAL

REPEATS = 3
WAIT_SECONDS = 180.0
POLL_SECONDS = 0.05


class Reporter(Protocol):
    """Shows the progress of the demo."""

    def say(self, text: str) -> None:
        """Show one step."""

    def count(self, final: int, posts: int) -> None:
        """Show how many jobs are final, and how many POSTs the bank has had."""

    def counting(self, total: int) -> AbstractContextManager[None]:
        """Return a context in which `count` is shown."""


def play(stage: Stage, *, jobs: int, screen: Reporter) -> Proof:
    """Run all steps and return the proof."""
    planned = plan(jobs)
    screen.say(f"database {stage.settings.home}, bank {stage.bank.url}, private broker")
    stage.start_worker()
    for job in planned:
        stage.producer.enqueue(job.order)
    screen.say(f"{len(planned)} jobs enqueued: the row first, then one message each")
    _deliver(stage, planned)
    screen.say(f"each message repeated {REPEATS} times, as hints and as whole messages")
    with screen.counting(len(planned)):
        _kill_during_a_call(stage, screen)
        _wait_for_the_end(stage, len(planned), screen)
    screen.say("all jobs are final")
    posts = len(stage.bank.journal)
    messages = _deliver(stage, planned)
    _wait_for_empty_queue(stage)
    return prove(stage, planned, messages=messages, posts_before=posts)


def _deliver(stage: Stage, planned: list[Planned]) -> int:
    for repeat in range(REPEATS):
        for job in planned:
            stage.deliver(job.order, whole=repeat % 2 == 0)
    return REPEATS * len(planned)


def _kill_during_a_call(stage: Stage, screen: Reporter) -> None:
    """Kill the worker while the bank is processing its call, so that the answer is lost."""

    def slow_call_in_progress() -> bool:
        return any(
            entry.finished_at is None and entry.scenario == SLOW.rstrip("0123456789")
            for entry in stage.bank.journal.entries()
        )

    _wait(lambda: slow_call_in_progress() and _final(stage, screen) > 0, "a slow call of the bank")
    pid = stage.kill_worker()
    in_flight = stage.store.reports.stats().states["in_flight"]
    screen.say(f"kill -9 of the worker (pid {pid}) with {in_flight} calls in progress")
    pid = stage.start_worker()
    screen.say(f"a new worker (pid {pid}); it must find out how they ended")


def _wait_for_the_end(stage: Stage, total: int, screen: Reporter) -> None:
    _wait(lambda: _final(stage, screen) >= total, "all jobs to be final")


def _wait_for_empty_queue(stage: Stage) -> None:
    """Wait until every message is taken, and let the worker finish them."""
    _wait(lambda: stage.queued() == 0, "the queue to be empty")
    stage.stop_workers()


def _final(stage: Stage, screen: Reporter) -> int:
    states = stage.store.reports.stats().states
    final = sum(states[state] for state in FINAL)
    screen.count(final, len(stage.bank.journal))
    return final


def _wait(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"the demo waited {WAIT_SECONDS:.0f} s in vain for {what}")
        time.sleep(POLL_SECONDS)

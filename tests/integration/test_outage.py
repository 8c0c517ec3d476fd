"""An attempt whose database goes away, at each of its steps."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from tests.integration.attempting import (
    SHORT,
    accept,
    once_in_flight,
    only_postgresql,
    posts,
    rescue_all,
)
from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    Clock,
    Monotonic,
    attempts,
    execute,
    only,
    row,
)
from tests.servers.databases import PATIENT
from worker.domain.states import Outcome, State
from worker.errors import StoreUnavailable
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext, Result
from worker.sandbox import Sandbox
from worker.store import Store

pytestmark = pytest.mark.usefixtures("plain_logs")


@pytest.fixture
def outage(open_store: OpenStore) -> Iterator["Outage"]:
    with ExitStack() as stack:
        yield Outage(open_store(), stack)


class Outage:
    """Another process that holds what a settlement needs, for as long as it likes."""

    def __init__(self, store: Store, stack: ExitStack) -> None:
        self._store = store
        self._stack = stack
        self._held: Connection | None = None

    def begins(self) -> None:
        self._held = self._stack.enter_context(self._store.database.engine.connect())
        self._held.execute(text("UPDATE cancel_jobs SET token_status = 'locked'"))

    def ends(self) -> None:
        if self._held is not None:
            self._held.rollback()


def test_an_outcome_is_written_when_the_database_is_back(
    context: AttemptContext, sandbox: Sandbox, open_store: OpenStore, clock: Clock, outage: Outage
) -> None:
    accept(context.store, "ok-1")
    ours = Monotonic()

    def back_after_a_while(seconds: float) -> None:
        ours.sleep(seconds)
        if len(ours.slept) == 3:
            outage.ends()

    impatient = replace(
        context,
        store=open_store(clock, timeouts=replace(PATIENT, lock=SHORT)),
        roster=once_in_flight(context, outage.begins),
        monotonic=ours,
        sleep=back_after_a_while,
    )
    assert attempt("U1", impatient) is Result.SETTLED
    assert len(ours.slept) == 3
    assert row(context.store)["outcome"] == Outcome.CANCELLED
    assert posts(sandbox) == 1


def test_an_outcome_that_cannot_be_written_is_found_out_again(
    context: AttemptContext, sandbox: Sandbox, open_store: OpenStore, clock: Clock, outage: Outage
) -> None:
    accept(context.store, "ok-1")
    ours = Monotonic()

    impatient = replace(
        context,
        store=open_store(clock, timeouts=replace(PATIENT, lock=SHORT)),
        lease=timedelta(seconds=1),
        roster=once_in_flight(context, outage.begins),
        monotonic=ours,
        sleep=ours.sleep,
    )
    assert attempt("U1", impatient) is Result.UNWRITTEN
    assert ours.at < 1
    outage.ends()
    assert row(context.store)["state"] == State.IN_FLIGHT
    clock.forward(1)
    assert rescue_all(context) == 1
    clock.forward(2)
    assert attempt("U1", context) is Result.SETTLED
    assert only(row(context.store), "state", "attempts") == (State.SUCCEEDED, 2)
    assert sandbox.journal.effects() == {"ok-1": 1}


def test_a_database_that_is_away_before_the_bank_is_asked_stops_the_attempt(
    context: AttemptContext, sandbox: Sandbox, open_store: OpenStore, clock: Clock, outage: Outage
) -> None:
    accept(context.store, "ok-1")
    outage.begins()
    with pytest.raises(StoreUnavailable):
        attempt(
            "U1", replace(context, store=open_store(clock, timeouts=replace(PATIENT, lock=SHORT)))
        )
    outage.ends()
    assert len(sandbox.journal) == 0
    assert row(context.store)["state"] == State.PENDING


@only_postgresql
def test_a_connection_that_is_cut_while_the_bank_answers_costs_nothing(
    context: AttemptContext, sandbox: Sandbox, open_store: OpenStore, clock: Clock
) -> None:
    accept(context.store, "ok-1")
    ours = open_store(clock, connections=1)

    def cut() -> None:
        execute(
            context.store,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )

    cutting = once_in_flight(context, cut)
    assert attempt("U1", replace(context, store=ours, roster=cutting)) is Result.SETTLED
    assert row(context.store)["outcome"] == Outcome.CANCELLED


@only_postgresql
def test_a_commit_whose_acknowledgement_was_lost_is_recognised(
    context: AttemptContext, sandbox: Sandbox, open_store: OpenStore, clock: Clock
) -> None:
    """The second try finds its lease gone: taken by nobody but the first."""
    accept(context.store, "ok-1")
    ours = open_store(clock, connections=1)
    commits: list[int] = []

    def cut_behind_the_second(connection: Connection) -> None:
        commits.append(1)
        if len(commits) == 2:  # the claim's is the first, the settlement's the second
            driver: Any = connection.connection.dbapi_connection
            driver.commit()
            (pid,) = driver.execute("SELECT pg_backend_pid()").fetchone()
            execute(context.store, "SELECT pg_terminate_backend(:pid, 5000)", pid=pid)

    # Of all engines: where the tests go by roles, a store has several.
    event.listen(Engine, "commit", cut_behind_the_second)
    try:
        assert attempt("U1", replace(context, store=ours)) is Result.SETTLED
    finally:
        event.remove(Engine, "commit", cut_behind_the_second)
    assert len(commits) >= 2
    assert row(context.store)["outcome"] == Outcome.CANCELLED
    (evidence,) = attempts(context.store)
    assert only(evidence, "heard", "detail") == ("cancelled", "token status CANCELLED")
    assert posts(sandbox) == 1

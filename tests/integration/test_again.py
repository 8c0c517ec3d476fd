"""A final job tries again at the simulated bank: under its own uid, or as another job."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.integration.attempting import accept, posts
from tests.integration.stock import Clock, attempts, execute, only, row
from worker.domain.states import State
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext
from worker.sandbox import Sandbox
from worker.store import RequeueRequest, Store, Verdict

pytestmark = pytest.mark.usefixtures("plain_logs")

Again = Callable[[Store], str]


def requeue(store: Store) -> str:
    wish = RequeueRequest("U1", ())
    assert store.actions.requeue(wish, who="ploy", reason="mended").verdict is Verdict.DONE
    return "U1"


def reissue(store: Store) -> str:
    wish = RequeueRequest("U1", ())
    assert store.actions.reissue(wish, "U2", who="ploy", reason="no").verdict is Verdict.DONE
    return "U2"


def _end_with_one_attempt(
    context: AttemptContext, clock: Clock, token_id: str, outcome: str
) -> None:
    accept(context.store, token_id)
    attempt("U1", replace(context, policy=replace(context.policy, max_attempts=1)))
    assert row(context.store)["outcome"] == outcome
    clock.forward(120)


@pytest.mark.parametrize("again", [requeue, reissue])
def test_a_job_that_gave_up_is_cancelled_on_another_try(
    context: AttemptContext, sandbox: Sandbox, clock: Clock, again: Again
) -> None:
    _end_with_one_attempt(context, clock, "busy-1", "gave_up")
    uid = again(context.store)
    attempt(uid, context)
    assert only(row(context.store, uid), "state", "outcome") == (State.SUCCEEDED, "cancelled")
    numbers = [each["number"] for each in attempts(context.store, uid)]
    assert numbers == ([1, 2] if uid == "U1" else [1])
    assert posts(sandbox, uid) == len(numbers)


@pytest.mark.parametrize("again", [requeue, reissue])
def test_a_refusal_after_doubt_is_not_believed_on_another_try_either(
    context: AttemptContext, clock: Clock, again: Again
) -> None:
    """The lost answer may have been the cancel: "no such token" may mean "not any more"."""
    _end_with_one_attempt(context, clock, "dropbefore-1", "unknown")
    uid = again(context.store)
    execute(context.store, "UPDATE cancel_jobs SET token_id = 'unknown-1'")
    attempt(uid, context)
    assert only(row(context.store, uid), "state", "outcome", "error_code") == (
        State.IN_DOUBT,
        None,
        "invalid_tokenId",
    )

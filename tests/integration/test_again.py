"""A final job tries again at the simulated bank: under its own uid, or as another job."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.integration.attempting import accept, posts
from tests.integration.stock import Clock, attempts, execute, only, row
from worker.domain.states import State
from worker.jobs.attempt import Means, attempt
from worker.sandbox import Sandbox
from worker.store import Store, Verdict, Wish

pytestmark = pytest.mark.usefixtures("plain_logs")

Again = Callable[[Store], str]


def requeue(store: Store) -> str:
    wish = Wish("U1", ())
    assert store.actions.requeue(wish, who="ploy", reason="mended").verdict is Verdict.DONE
    return "U1"


def reissue(store: Store) -> str:
    wish = Wish("U1", ())
    assert store.actions.reissue(wish, "U2", who="ploy", reason="no").verdict is Verdict.DONE
    return "U2"


def _end_with_one_attempt(means: Means, clock: Clock, token_id: str, outcome: str) -> None:
    accept(means.store, token_id)
    attempt("U1", replace(means, policy=replace(means.policy, max_attempts=1)))
    assert row(means.store)["outcome"] == outcome
    clock.forward(120)


@pytest.mark.parametrize("again", [requeue, reissue])
def test_a_job_that_gave_up_is_cancelled_on_another_try(
    means: Means, sandbox: Sandbox, clock: Clock, again: Again
) -> None:
    _end_with_one_attempt(means, clock, "busy-1", "gave_up")
    uid = again(means.store)
    attempt(uid, means)
    assert only(row(means.store, uid), "state", "outcome") == (State.SUCCEEDED, "cancelled")
    numbers = [each["number"] for each in attempts(means.store, uid)]
    assert numbers == ([1, 2] if uid == "U1" else [1])
    assert posts(sandbox, uid) == len(numbers)


@pytest.mark.parametrize("again", [requeue, reissue])
def test_a_refusal_after_doubt_is_not_believed_on_another_try_either(
    means: Means, clock: Clock, again: Again
) -> None:
    """The lost answer may have been the cancel: "no such token" may mean "not any more"."""
    _end_with_one_attempt(means, clock, "dropbefore-1", "unknown")
    uid = again(means.store)
    execute(means.store, "UPDATE cancel_jobs SET token_id = 'unknown-1'")
    attempt(uid, means)
    assert only(row(means.store, uid), "state", "outcome", "error_code") == (
        State.IN_DOUBT,
        None,
        "invalid_tokenId",
    )

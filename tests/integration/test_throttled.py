"""A bank that says "too many, come back in thirty seconds" is left alone by every worker."""

from dataclasses import replace

import pytest

from tests.integration.attempting import accept, posts
from tests.integration.conftest import OpenStore
from tests.integration.stock import Clock, row
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext, Result
from worker.sandbox import Sandbox


@pytest.mark.parametrize("act", ["ratelimit30", "ratelimitdate30"])
def test_two_workers_leave_the_bank_alone_until_the_time_it_named(
    context: AttemptContext, sandbox: Sandbox, clock: Clock, open_store: OpenStore, act: str
) -> None:
    workers = [replace(context, store=open_store(clock)) for _ in range(2)]
    sandbox.script("T1", cancel=[act, "ok"])
    accept(context.store, "T1")
    for n in range(6):
        accept(context.store, f"ok-{n}", f"X{n}")
    assert attempt("U1", workers[0]) is Result.SETTLED
    # A date counts whole seconds, so that it may name one second less.
    for _ in range(28):
        clock.forward(1)
        for n in range(6):
            assert attempt(f"X{n}", workers[n % 2]) is Result.NOTHING
    assert len(sandbox.journal) == posts(sandbox, "U1") == 1
    assert [row(context.store, uid)["attempts"] for uid in ("U1", "X0", "X5")] == [0, 0, 0]
    clock.forward(2)
    assert attempt("X0", workers[1]) is Result.SETTLED
    assert len(sandbox.journal) == 2

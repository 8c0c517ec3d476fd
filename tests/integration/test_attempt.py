"""One attempt, from the claim to the stored outcome, against the simulated bank on a socket."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.attempting import (
    POLICY,
    accept,
    once_in_flight,
    posts,
    rescue_all,
)
from tests.integration.stock import (
    LEASE,
    NOON,
    Clock,
    Monotonic,
    attempts,
    only,
    partner,
    row,
)
from tests.servers.deadlines import counted
from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import PARTNER_ID, SECRET
from worker.domain.states import Outcome, State
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext, Result
from worker.sandbox import Sandbox
from worker.store import UNCONFIGURED

pytestmark = pytest.mark.usefixtures("plain_logs")


@pytest.mark.parametrize(
    ("token_id", "state", "outcome"),
    [
        ("ok-1", State.SUCCEEDED, Outcome.CANCELLED),
        ("cancelled-1", State.SUCCEEDED, Outcome.CANCELLED),
        ("cancelledcode-1", State.SUCCEEDED, Outcome.ALREADY_CANCELLED),
        ("expired-1", State.SUCCEEDED, Outcome.EXPIRED),
        ("expiredlist-1", State.SUCCEEDED, Outcome.EXPIRED),
        ("paid-1", State.REFUSED, Outcome.PAID),
        ("paidlist-1", State.REFUSED, Outcome.PAID),
        ("unknown-1", State.REFUSED, Outcome.REFUSED),
    ],
)
def test_a_clear_answer_ends_the_job_with_one_post(
    context: AttemptContext, sandbox: Sandbox, token_id: str, state: State, outcome: Outcome
) -> None:
    accept(context.store, token_id)
    assert attempt("U1", context) is Result.SETTLED
    assert only(row(context.store), "state", "outcome") == (state, outcome)
    assert attempt("U1", context) is Result.NOTHING
    assert posts(sandbox) == 1
    assert only(attempts(context.store)[0], "wire_uid", "http_status", "spent") == ("U1", 200, True)


def test_an_answer_leaves_its_words_in_the_row_and_in_the_evidence(
    context: AttemptContext, sandbox: Sandbox
) -> None:
    accept(context.store, "ok-1")
    attempt("U1", context)
    assert only(row(context.store), "token_status", "status_code") == ("CANCELLED", "00")
    file = context.store.reports.file("U1")
    assert file is not None
    assert [only(t, "token_id", "reference1", "status") for t in file.tokens] == [
        ("ok-1", "R1", "CANCELLED")
    ]


def test_a_busy_bank_is_asked_again_when_the_wait_is_over(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    accept(context.store, "busy2-1")
    for wait in (1.5, 3):
        assert attempt("U1", context) is Result.SETTLED
        assert row(context.store)["state"] == State.RETRYABLE
        assert attempt("U1", context) is Result.NOTHING
        assert row(context.store)["next_attempt_at"] == clock.now + timedelta(seconds=wait)
        clock.forward(wait)
    attempt("U1", context)
    assert row(context.store)["outcome"] == Outcome.CANCELLED
    assert [each["decision"] for each in attempts(context.store)] == ["retry", "retry", "succeed"]
    assert posts(sandbox) == 3


def test_the_banks_own_advice_outranks_our_wait_and_spends_nothing(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    accept(context.store, "ratelimit90-1")
    attempt("U1", context)
    assert only(row(context.store), "state", "attempts") == (State.RETRYABLE, 0)
    clock.forward(89)
    assert attempt("U1", context) is Result.NOTHING
    clock.forward(2)
    attempt("U1", context)
    assert only(row(context.store), "outcome", "attempts", "conversations") == ("cancelled", 1, 2)


@pytest.mark.parametrize("scenario", ["drop", "dropbefore", "closehalf", "garbage", "statusempty"])
def test_doubt_is_settled_by_asking_again(
    context: AttemptContext, sandbox: Sandbox, clock: Clock, scenario: str
) -> None:
    sandbox.script("T1", cancel=[scenario, "recode"])
    accept(context.store, "T1")
    attempt("U1", context)
    assert only(row(context.store), "state", "doubted") == (State.IN_DOUBT, True)
    clock.forward(2)
    attempt("U1", context)
    assert row(context.store)["state"] == State.SUCCEEDED
    assert sandbox.journal.effects() == {"T1": 1}
    assert {entry.partner_txn_uid for entry in sandbox.journal.entries()} == {"U1"}


def test_a_refusal_after_doubt_is_not_believed(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    sandbox.script("T1", cancel=["drop", "code.invalid_tokenId", "ok"])
    accept(context.store, "T1")
    attempt("U1", context)
    clock.forward(2)
    attempt("U1", context)
    assert only(row(context.store), "state", "outcome") == (State.IN_DOUBT, None)
    clock.forward(10)
    attempt("U1", context)
    assert row(context.store)["outcome"] == Outcome.CANCELLED


def test_a_bank_that_nobody_reaches_leaves_no_doubt(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    sandbox.change_rules(mode="refuse")
    accept(context.store, "ok-1")
    attempt("U1", context)
    assert only(row(context.store), "state", "doubted") == (State.RETRYABLE, False)
    assert attempts(context.store)[0]["heard"] == "connect_failed"
    assert partner(context.store, PARTNER_ID)["failures"] == 1
    sandbox.change_rules(mode="ok")
    clock.forward(2)
    attempt("U1", context)
    assert row(context.store)["outcome"] == Outcome.CANCELLED
    assert partner(context.store, PARTNER_ID)["failures"] == 0


def test_a_wrong_secret_pauses_the_partner_and_spends_no_attempt(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    sandbox.expect_secrets({PARTNER_ID: "another"})
    accept(context.store, "ok-1")
    accept(context.store, "ok-2", "U2")
    attempt("U1", context)
    assert only(row(context.store), "state", "attempts") == (State.RETRYABLE, 0)
    assert partner(context.store, PARTNER_ID)["mode"] == "paused"
    assert "authentication_error" in partner(context.store, PARTNER_ID)["reason"]
    clock.forward(60)
    for uid in ("U1", "U2"):
        assert attempt(uid, context) is Result.NOTHING
    assert len(sandbox.journal) == 1
    sandbox.expect_secrets({PARTNER_ID: SECRET})
    context.store.actions.resume_partner(PARTNER_ID, who="ploy", reason="new secret")
    assert attempt("U1", context) is Result.SETTLED
    assert row(context.store)["outcome"] == Outcome.CANCELLED


def test_a_partner_without_credentials_is_paused_and_nothing_is_sent(
    context: AttemptContext, sandbox: Sandbox
) -> None:
    accept(context.store, "ok-1", partner_id="P9")
    attempt("U1", context)
    assert only(partner(context.store, "P9"), "mode", "reason") == ("paused", UNCONFIGURED)
    assert only(row(context.store), "state", "attempts", "conversations") == (State.RETRYABLE, 0, 1)
    assert attempts(context.store)[0]["heard"] == "unconfigured"
    assert len(sandbox.journal) == 0


def test_a_bank_that_is_slower_than_the_deadline_leaves_doubt(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    accept(context.store, "hold-1")
    hasty = replace(context, deadline=timedelta(seconds=0.1))
    with counted():
        assert attempt("U1", hasty) is Result.SETTLED
    eventually(lambda: sandbox.journal.counts()["in_progress"] == 0)
    assert only(row(context.store), "state", "doubted") == (State.IN_DOUBT, True)
    assert attempts(context.store)[0]["heard"] == "read_timeout"
    clock.forward(2)
    attempt("U1", context)
    assert row(context.store)["outcome"] == Outcome.CANCELLED
    assert sandbox.journal.effects() == {"hold-1": 1}
    assert sandbox.journal.overlaps() == []


def test_the_last_attempt_ends_the_job(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    accept(context.store, "busy99-1")
    for _ in range(POLICY.max_attempts):
        attempt("U1", context)
        clock.forward(300)
    assert only(row(context.store), "state", "outcome") == (State.EXHAUSTED, Outcome.GAVE_UP)
    assert attempt("U1", context) is Result.NOTHING
    assert posts(sandbox) == POLICY.max_attempts


def test_a_job_that_ends_in_doubt_says_so(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    accept(context.store, "drop99-1")
    for _ in range(POLICY.max_attempts):
        attempt("U1", context)
        clock.forward(300)
    assert only(row(context.store), "outcome", "doubted") == (Outcome.UNKNOWN, True)


def test_a_token_that_expires_while_the_bank_is_busy_has_lapsed(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    """The attempt's own time counts: `monotonic` has gone on since the claim."""
    accept(context.store, "busy99-1", expires_at=NOON + timedelta(seconds=3))
    slow = Monotonic()
    passing = once_in_flight(context, lambda: slow.sleep(4))
    attempt("U1", replace(context, monotonic=slow, roster=passing))
    assert only(row(context.store), "state", "outcome") == (State.EXHAUSTED, Outcome.LAPSED)


def test_a_worker_that_slept_past_its_lease_sends_nothing(
    context: AttemptContext, sandbox: Sandbox
) -> None:
    accept(context.store, "ok-1")
    stopped = Monotonic()
    sleeping = once_in_flight(context, lambda: stopped.sleep(LEASE.total_seconds()))
    assert attempt("U1", replace(context, monotonic=stopped, roster=sleeping)) is Result.SETTLED
    assert len(sandbox.journal) == 0
    assert only(row(context.store), "state", "doubted") == (State.RETRYABLE, False)


def test_a_late_answer_settles_the_doubt_that_its_rescue_left(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    accept(context.store, "hold-1")
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(attempt, "U1", context)
        assert sandbox.journal.wait_for_posts(1, timeout=LIMIT)
        clock.forward(LEASE)
        assert rescue_all(context) == 1
        assert only(row(context.store), "state", "doubted") == (State.IN_DOUBT, True)
        sandbox.release("hold-1")
        assert asking.result(timeout=LIMIT) is Result.LATE
    assert only(row(context.store), "state", "outcome") == (State.SUCCEEDED, Outcome.CANCELLED)
    (evidence,) = attempts(context.store)
    assert only(evidence, "heard", "http_status") == ("cancelled", 200)
    assert evidence["detail"].endswith("heard after the lease had ended")
    assert rescue_all(context) == 0


def test_a_late_refusal_is_no_end(context: AttemptContext, sandbox: Sandbox, clock: Clock) -> None:
    """Somebody may have asked meanwhile, and "no" may mean "cancelled already"."""
    sandbox.script("T1", cancel=["holdbefore"])
    accept(context.store, "T1")
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(attempt, "U1", context)
        assert sandbox.journal.wait_for_posts(1, timeout=LIMIT)
        clock.forward(LEASE)
        rescue_all(context)
        before = context.store.partners.all()
        sandbox.expect_secrets({PARTNER_ID: "another"})
        sandbox.release("T1")
        assert asking.result(timeout=LIMIT) is Result.LATE
    assert row(context.store)["state"] in {State.IN_DOUBT, State.SUCCEEDED}
    assert context.store.partners.all() == before


def test_a_message_that_comes_sixteen_times_is_one_post(
    context: AttemptContext, sandbox: Sandbox
) -> None:
    accept(context.store, "ok-first", "first")
    attempt("first", context)
    uids = [f"U{n}" for n in range(10)]
    for uid in uids:
        accept(context.store, f"ok-{uid}", uid)
    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda n: attempt(uids[n % 10], context), range(160)))
    assert results.count(Result.SETTLED) == 10
    assert sandbox.journal.posts_per_uid() == dict.fromkeys(["first", *uids], 1)
    assert context.store.reports.stats().states[State.SUCCEEDED] == 11


def test_while_the_bank_is_closed_nobody_asks_it(context: AttemptContext, sandbox: Sandbox) -> None:
    accept(context.store, "ok-1")
    before = row(context.store)
    assert attempt("U1", replace(context, closed=lambda: True)) is Result.NOTHING
    assert row(context.store) == before
    assert len(sandbox.journal) == 0
    assert attempt("U1", context) is Result.SETTLED

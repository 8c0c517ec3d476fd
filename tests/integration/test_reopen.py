"""A job that has its end is reopened where an audit contradicts that end, and nowhere else."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.attempting import DEADLINE
from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    ANSWERED,
    CANCELLED,
    NOON,
    PAID,
    Clock,
    attempts,
    claimed,
    only,
    order,
    row,
    settle,
)
from tests.servers.workers import PARTNER_ID, SECRET
from worker.domain.decision import Decision
from worker.domain.destinations import Destination
from worker.domain.partners import Partner, Roster
from worker.domain.states import Event, Outcome
from worker.jobs.attempt import attempt
from worker.jobs.audit import AUDITED, AuditResult, audit
from worker.jobs.context import AttemptContext
from worker.sandbox import Sandbox
from worker.store import JobFilter, RequeueRequest, RequeueResult, Store, Verdict
from worker.store.operators.audits import AuditVerdict

pytestmark = pytest.mark.usefixtures("plain_logs")

LAPSED = Decision(Event.EXHAUST, "later", "busy", outcome=Outcome.LAPSED)
EXPIRED = replace(CANCELLED, heard="expired", outcome=Outcome.EXPIRED)


@pytest.fixture
def asking(context: AttemptContext, sandbox: Sandbox) -> AttemptContext:
    """A context whose partner can inquire."""
    fields = {"bank_url": sandbox.cancel_url, "inquiry_url": sandbox.inquiry_url}
    partner = Partner.model_validate({"partner_id": PARTNER_ID, "secret": SECRET, **fields})
    return replace(context, roster=lambda: Roster({PARTNER_ID: partner}), deadline=DEADLINE)


def end(store: Store, uid: str = "U1", decision: Decision = CANCELLED) -> None:
    """Let a job end here, whatever the bank says of its token."""
    store.jobs.accept(order(uid, partner_id=PARTNER_ID, token_id=f"ok-{uid}"), hinted=False)
    assert settle(store, claimed(store, uid), decision, ANSWERED)


def audited(context: AttemptContext, uid: str = "U1") -> AuditResult:
    found = context.store.audits.sample(
        most=10, since=NOON, outcomes=AUDITED, inquirers=[PARTNER_ID]
    )
    (mine,) = [each for each in found if each.request.partner_txn_uid == uid]
    return audit(mine, context, now=context.monotonic)


def requeue(store: Store, uid: str = "U1") -> RequeueResult:
    wish = RequeueRequest(uid, (PARTNER_ID,))
    return store.actions.requeue(wish, who="ploy", reason="ticket 4711")


def reissue(store: Store, uid: str = "U1", new_uid: str = "U9") -> RequeueResult:
    wish = RequeueRequest(uid, (PARTNER_ID,))
    return store.actions.reissue(wish, new_uid, who="ploy", reason="ticket 4711")


@pytest.mark.parametrize("decision", [CANCELLED, EXPIRED, PAID], ids=lambda each: each.heard)
def test_without_drift_a_job_keeps_its_end(asking: AttemptContext, decision: Decision) -> None:
    store = asking.store
    end(store, decision=decision)
    before = row(store)
    assert requeue(store).verdict in {Verdict.SUCCEEDED, Verdict.PAID}
    assert reissue(store).verdict in {Verdict.SUCCEEDED, Verdict.PAID}
    assert row(store) == before
    assert store.reports.actions() == []


def test_an_audit_that_agrees_reopens_nothing(asking: AttemptContext, sandbox: Sandbox) -> None:
    end(asking.store)
    sandbox.expire("ok-U1")
    assert audited(asking).verdict is AuditVerdict.AGREES
    assert requeue(asking.store).verdict is Verdict.SUCCEEDED


def test_a_token_that_is_still_payable_is_cancelled_again(
    asking: AttemptContext, clock: Clock
) -> None:
    store = asking.store
    end(store)
    clock.forward(60)
    found = audited(asking)
    assert found.verdict is AuditVerdict.DRIFTS
    assert "nothing was sent to cancel it" in found.detail
    assert "sent again" not in found.detail
    clock.forward(60)
    done = requeue(store)
    assert (done.verdict, done.reopens) == (Verdict.DONE, True)
    job = row(store)
    assert only(job, "state", "outcome", "finished_at", "attempts", "doubted", "ends") == (
        "pending",
        None,
        None,
        0,
        True,
        1,
    )
    attempt("U1", asking)
    assert only(row(store), "state", "outcome", "ends") == ("succeeded", "cancelled", 2)
    assert [each["number"] for each in attempts(store)] == [1, 2]


def test_a_token_that_was_paid_ends_as_paid_with_a_higher_number(
    asking: AttemptContext, sandbox: Sandbox, clock: Clock, open_store: OpenStore
) -> None:
    """The order system was told `cancelled`; now it is told `paid`, as the second end."""
    told = open_store(clock)
    told = Store(told.database, destinations=[Destination.WEBHOOK])
    context = replace(asking, store=told)
    end(told)
    sandbox.pay("ok-U1")
    clock.forward(60)
    assert audited(context).verdict is AuditVerdict.DRIFTS
    assert requeue(told).reopens
    attempt("U1", context)
    assert only(row(told), "state", "outcome", "ends") == ("refused", "paid", 2)
    events = told.outbox.events(uid="U1")
    assert [each["number"] for each in events] == [1, 2]
    assert ['"outcome":"cancelled"' in each["body"] for each in events] == [True, False]


def test_what_is_held_as_paid_is_reopened_too(
    asking: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    end(asking.store, decision=PAID)
    sandbox.expire("ok-U1")
    clock.forward(60)
    assert audited(asking).verdict is AuditVerdict.DRIFTS
    assert requeue(asking.store).reopens


def test_the_record_holds_who_why_and_the_proof(asking: AttemptContext, clock: Clock) -> None:
    store = asking.store
    end(store)
    clock.forward(60)
    audited(asking)
    requeue(store)
    (record,) = store.reports.actions("U1")
    assert only(record, "action", "who", "reason") == ("reopen", "ploy", "ticket 4711")
    assert only(record["before"], "state", "outcome") == ("succeeded", "cancelled")
    assert record["before"]["drift"]["token_status"] == "REQUESTED"
    assert only(record["after"], "state", "outcome") == ("pending", None)


def test_drift_from_before_the_end_proves_nothing(asking: AttemptContext, clock: Clock) -> None:
    store = asking.store
    end(store)
    clock.forward(60)
    audited(asking)
    requeue(store)
    clock.forward(60)
    attempt("U1", asking)
    assert row(store)["outcome"] == "cancelled"
    assert requeue(store).verdict is Verdict.SUCCEEDED
    assert len(store.reports.actions()) == 1


def test_a_refusal_is_not_believed_of_a_reopened_job(
    asking: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    """The bank once said "cancelled": "no such token" may mean "not any more"."""
    store = asking.store
    end(store)
    clock.forward(60)
    audited(asking)
    requeue(store)
    sandbox.reset()
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE cancel_jobs SET token_id = 'unknown-1'")
    attempt("U1", asking)
    assert only(row(store), "state", "outcome") == ("in_doubt", None)


def test_another_job_may_continue_one_that_drifted(asking: AttemptContext, clock: Clock) -> None:
    store = asking.store
    end(store)
    clock.forward(60)
    audited(asking)
    assert reissue(store).reopens
    assert reissue(store).verdict is Verdict.DONE_BEFORE
    assert requeue(store).verdict is Verdict.CONTINUED
    assert only(row(store), "state", "continued_by") == ("succeeded", "U9")
    assert only(row(store, "U9"), "state", "continues", "doubted") == ("pending", "U1", True)
    assert len(store.reports.actions("U1")) == 1


def test_of_two_operators_at_once_one_reopens(
    asking: AttemptContext, clock: Clock, open_store: OpenStore
) -> None:
    end(asking.store)
    clock.forward(60)
    audited(asking)
    stores = [open_store(clock) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        results = sorted(each.verdict for each in threads.map(requeue, stores))
    assert results == [Verdict.DONE, Verdict.NOT_FINAL]
    assert len(asking.store.reports.actions("U1")) == 1


def test_a_filter_finds_the_drifted_only_where_it_asks_for_them(
    asking: AttemptContext, clock: Clock
) -> None:
    store = asking.store
    for uid in ("U1", "U2"):
        end(store, uid)
    end(store, "U3", LAPSED)
    clock.forward(60)
    audited(asking, "U1")
    audited(asking, "U3")
    wanted = JobFilter(drifted=True)
    (page,) = store.reports.finals(wanted)
    assert [each["partner_txn_uid"] for each in page] == ["U1", "U3"]
    assert [each["partner_txn_uid"] for each in store.reports.jobs(wanted)] == ["U3", "U1"]


@pytest.fixture(autouse=True)
def _reset(sandbox: Sandbox) -> Iterator[Any]:
    yield
    sandbox.reset()

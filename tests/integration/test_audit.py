"""The bank is asked again about final jobs: through the gate, and without touching them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.integration.attempting import DEADLINE, POLICY
from tests.integration.stock import (
    ANSWERED,
    CANCELLED,
    LEASE,
    NOON,
    PAID,
    Clock,
    Monotonic,
    claimed,
    order,
    partner,
    row,
    settle,
)
from tests.servers.workers import PARTNER_ID, SECRET
from worker.bank import Bank
from worker.domain.kplus import RequestDt
from worker.domain.partners import Partner, Roster
from worker.domain.states import Outcome
from worker.jobs.audit import AUDITED, AuditResult, audit
from worker.jobs.context import AttemptContext
from worker.sandbox import Sandbox
from worker.store import Store
from worker.store.operators.audits import AuditCandidate, AuditVerdict
from worker.store.schema.tables import audits


def rostered(sandbox: Sandbox, **limits: Any) -> Roster:
    fields = {
        "partner_id": PARTNER_ID,
        "secret": SECRET,
        "bank_url": sandbox.cancel_url,
        "inquiry_url": sandbox.inquiry_url,
        **limits,
    }
    return Roster({PARTNER_ID: Partner.model_validate(fields)})


@pytest.fixture
def ours() -> Monotonic:
    return Monotonic()


@pytest.fixture
def context(store: Store, sandbox: Sandbox, ours: Monotonic) -> Iterator[AttemptContext]:
    bank = Bank(deadline=DEADLINE, request_dt=RequestDt.UNIX, connections=4)
    known = rostered(sandbox)
    yield AttemptContext(
        store=store,
        bank=bank,
        roster=lambda: known,
        policy=POLICY,
        lease=LEASE,
        deadline=DEADLINE,
        random=lambda: 0.5,
        monotonic=ours,
        sleep=ours.sleep,
    )
    bank.close()


def end(store: Store, *uids: str, decision: Any = CANCELLED) -> None:
    """Let jobs end here whatever the bank says of their tokens."""
    for uid in uids:
        store.jobs.accept(order(uid, partner_id=PARTNER_ID, token_id=f"ok-{uid}"), hinted=False)
        assert settle(store, claimed(store, uid), decision, ANSWERED)


def sample(store: Store, most: int = 10, **fields: Any) -> list[AuditCandidate]:
    usual: dict[str, Any] = {"since": NOON, "outcomes": AUDITED, "inquirers": [PARTNER_ID]}
    return store.audits.sample(most=most, **(usual | fields))


def audited(context: AttemptContext, ours: Monotonic) -> list[AuditResult]:
    return [audit(each, context, now=ours) for each in sample(context.store)]


def kept(store: Store) -> list[dict[str, Any]]:
    return [each._asdict() for each in store.database.read(select(audits).order_by(audits.c.id))]


def test_a_token_that_the_bank_calls_otherwise_drifts_and_its_job_is_untouched(
    context: AttemptContext, sandbox: Sandbox, ours: Monotonic
) -> None:
    end(context.store, "U1")
    before = context.store.reports.file("U1")
    sandbox.pay("ok-U1")
    (found,) = audited(context, ours)
    assert (found.verdict, found.held, found.heard) == (
        AuditVerdict.DRIFTS,
        Outcome.CANCELLED,
        "paid",
    )
    assert context.store.reports.file("U1") == before
    (row_kept,) = kept(context.store)
    assert (row_kept["verdict"], row_kept["held"], row_kept["token_status"]) == (
        "drifts",
        "cancelled",
        "PAID",
    )
    assert row_kept["finished_at"] is not None


def test_a_token_that_was_never_cancelled_at_the_bank_drifts(
    context: AttemptContext, ours: Monotonic
) -> None:
    end(context.store, "U1")
    (found,) = audited(context, ours)
    assert (found.verdict, found.heard) == (AuditVerdict.DRIFTS, "payable")


def test_what_the_bank_confirms_agrees(
    context: AttemptContext, sandbox: Sandbox, ours: Monotonic
) -> None:
    end(context.store, "U1", decision=PAID)
    end(context.store, "U2")
    sandbox.pay("ok-U1")
    sandbox.expire("ok-U2")
    assert {found.verdict for found in audited(context, ours)} == {AuditVerdict.AGREES}


def test_each_audit_asks_once_under_a_uid_of_its_own(
    context: AttemptContext, sandbox: Sandbox, ours: Monotonic
) -> None:
    end(context.store, "U1", "U2")
    audited(context, ours)
    entries = sandbox.journal.entries()
    assert {entry.operation for entry in entries} == {"inquiry"}
    uids = [entry.partner_txn_uid for entry in entries]
    assert len(set(uids)) == 2
    assert set(uids) == {each["wire_uid"] for each in kept(context.store)}
    assert not set(uids) & {"U1", "U2"}


@pytest.mark.parametrize("act", ["garbage", "http503", "drop", "say.NOT_FOUND"])
def test_an_answer_that_settles_nothing_is_kept_as_unheard(
    context: AttemptContext, sandbox: Sandbox, ours: Monotonic, act: str
) -> None:
    sandbox.script("ok-U1", inquiry=[act])
    end(context.store, "U1")
    (found,) = audited(context, ours)
    assert found.verdict is AuditVerdict.UNHEARD
    assert kept(context.store)[0]["verdict"] == "unheard"


def test_a_partner_that_is_paused_is_not_asked(
    context: AttemptContext, sandbox: Sandbox, ours: Monotonic
) -> None:
    end(context.store, "U1")
    context.store.actions.pause_partner(PARTNER_ID, who="ploy", reason="maintenance")
    (found,) = audited(context, ours)
    assert (found.verdict, found.heard) == (AuditVerdict.UNHEARD, "not_asked")
    assert "the partner rests: maintenance" in found.detail
    assert (sandbox.journal.entries(), kept(context.store), ours.slept) == ([], [], [])


def test_a_bank_in_maintenance_is_not_asked(
    context: AttemptContext, sandbox: Sandbox, ours: Monotonic
) -> None:
    end(context.store, "U1")
    (each,) = sample(context.store)
    found = audit(each, replace(context, closed=lambda: True), now=ours)
    assert (found.verdict, found.detail) == (AuditVerdict.UNHEARD, "the bank is in maintenance")
    assert sandbox.journal.entries() == []


def test_a_wrong_secret_pauses_the_partner_as_it_would_in_a_worker(
    context: AttemptContext, sandbox: Sandbox, ours: Monotonic
) -> None:
    end(context.store, "U1", "U2")
    sandbox.expect_secrets({PARTNER_ID: "another"})
    found = audited(context, ours)
    assert [each.verdict for each in found] == [AuditVerdict.UNHEARD] * 2
    assert partner(context.store, PARTNER_ID)["mode"] == "paused"
    assert len(sandbox.journal.entries()) == 1


def test_audits_keep_the_partners_rate(
    context: AttemptContext, sandbox: Sandbox, ours: Monotonic, clock: Clock
) -> None:
    end(context.store, *(f"U{n}" for n in range(4)))
    limited = rostered(sandbox, rate_per_second=1)
    slow = replace(
        context, roster=lambda: limited, sleep=lambda seconds: _pass(ours, clock, seconds)
    )
    audits_made = [audit(each, slow, now=ours) for each in sample(context.store)]
    assert len(audits_made) == len(sandbox.journal.entries()) == 4
    begun = [each["started_at"] for each in kept(context.store)]
    assert (clock.now - NOON).total_seconds() >= 3
    assert begun == sorted(begun)


def _pass(ours: Monotonic, clock: Clock, seconds: float) -> None:
    ours.sleep(seconds)
    clock.forward(seconds)


def test_an_audit_counts_among_the_calls_of_its_partner(
    context: AttemptContext, sandbox: Sandbox, ours: Monotonic
) -> None:
    """Neither an audit beside a job in flight, nor a job beside an audit, is one call too many."""
    narrow = rostered(sandbox, max_concurrency=1)
    store, one = context.store, narrow[PARTNER_ID]
    end(store, "U1", "U2")
    audited(context, ours)  # it is proven now: the gate counts, and no probe is wanted
    first, second = sample(store)
    begun = store.audits.begin(first, one, lease=LEASE)
    assert begun is not None
    assert store.audits.begin(second, one, lease=LEASE) is None
    store.jobs.accept(order("U3", partner_id=PARTNER_ID), hinted=False)
    assert store.jobs.claim("U3", lease=LEASE, roster=narrow) is None
    found = audit(second, replace(context, roster=lambda: narrow), now=ours)
    assert (found.heard, found.detail) == (
        "not_asked",
        "other calls of the partner leave no room",
    )
    assert row(store, "U3")["attempts"] == 0


def test_an_audit_whose_process_died_holds_nobody_for_ever(
    context: AttemptContext, sandbox: Sandbox, ours: Monotonic, clock: Clock
) -> None:
    narrow = rostered(sandbox, max_concurrency=1)
    end(context.store, "U1")
    audited(context, ours)
    (each,) = sample(context.store)
    assert context.store.audits.begin(each, narrow[PARTNER_ID], lease=LEASE) is not None
    clock.forward(LEASE)
    assert context.store.audits.begin(each, narrow[PARTNER_ID], lease=LEASE) is not None


def test_only_jobs_of_the_window_that_say_something_of_their_token_are_sampled(
    store: Store, clock: Clock
) -> None:
    end(store, "early")
    clock.forward(timedelta(hours=1))
    end(store, "U1", "U2", "U3")
    store.jobs.accept(order("waits", partner_id=PARTNER_ID), hinted=False)
    store.jobs.accept(order("foreign"), hinted=False)
    settle(store, claimed(store, "foreign"), CANCELLED, ANSWERED)
    found = sample(store, since=clock.now)
    assert {each.request.partner_txn_uid for each in found} == {"U1", "U2", "U3"}
    assert len(sample(store, 2, since=clock.now)) == 2
    assert sample(store, outcomes=[Outcome.PAID]) == []


def test_chance_chooses_the_sample(store: Store) -> None:
    end(store, *(f"U{n:02}" for n in range(20)))
    seen = {sample(store, 1)[0].request.partner_txn_uid for _ in range(40)}
    assert len(seen) > 3


def test_audits_are_pruned_by_their_age(
    context: AttemptContext, sandbox: Sandbox, ours: Monotonic, clock: Clock
) -> None:
    end(context.store, "U1")
    audited(context, ours)
    clock.forward(timedelta(days=91))
    old = timedelta(days=90)
    assert context.store.retention.count_audits(older_than=old) == 1
    assert context.store.retention.audits(older_than=old) == 1
    assert kept(context.store) == []

"""Doubt settled by inquiry, against the simulated bank on a socket."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.attempting import DEADLINE, POLICY, once_in_flight, rescue_all
from tests.integration.stock import LEASE, Clock, attempts, order, row
from tests.servers.databases import StoreAt
from tests.servers.workers import PARTNER_ID, SECRET
from worker.bank import Bank
from worker.domain.backoff import Backoff
from worker.domain.kplus import RequestDt
from worker.domain.leases import InquiryUids
from worker.domain.partners import Partner, Roster
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext, Result
from worker.sandbox import Sandbox


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def context(store_at: StoreAt, sandbox: Sandbox, clock: Clock) -> Iterator[AttemptContext]:
    fields = {
        "partner_id": PARTNER_ID,
        "secret": SECRET,
        "bank_url": sandbox.cancel_url,
        "inquiry_url": sandbox.inquiry_url,
    }
    roster = Roster({PARTNER_ID: Partner.model_validate(fields)})
    bank = Bank(deadline=DEADLINE, request_dt=RequestDt.UNIX, connections=4)
    wait = Backoff(base=timedelta(seconds=2), cap=timedelta(seconds=300))
    yield AttemptContext(
        store=store_at(clock),
        bank=bank,
        roster=lambda: roster,
        policy=replace(POLICY, inquiry_backoff=wait),
        lease=LEASE,
        deadline=DEADLINE,
        random=lambda: 0.5,
    )
    bank.close()


def run(
    context: AttemptContext, clock: Clock, token: str, *, turns: int = 8
) -> list[tuple[str, str, str]]:
    """Attempt until nothing more is to be done; return each conversation's kind, word, event."""
    context.store.jobs.accept(
        order("U1", partner_id=PARTNER_ID, token_id=token, expires_at=None), hinted=False
    )
    for _ in range(turns):
        if attempt("U1", context) is not Result.SETTLED:
            break
        clock.forward(timedelta(minutes=6))
    file = context.store.reports.file("U1")
    assert file is not None
    return [(a["kind"], a["heard"], a["decision"]) for a in file.attempts]


def test_a_lost_answer_is_settled_by_one_inquiry(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    told = run(context, clock, "drop-1")
    assert told == [
        ("cancel", "connection_dropped", "doubt"),
        ("inquiry", "cancelled", "succeed"),
    ]
    assert (row(context.store)["outcome"], row(context.store)["attempts"]) == ("cancelled", 1)
    first, second = sandbox.journal.entries()
    assert (first.operation, second.operation) == ("cancel", "inquiry")
    assert second.partner_txn_uid != first.partner_txn_uid
    assert re.fullmatch("INQ[0-9a-f]{12}", second.partner_txn_uid)
    assert attempts(context.store)[-1]["wire_uid"] == second.partner_txn_uid


def test_a_rescue_under_other_settings_writes_the_uid_that_was_on_the_wire(
    context: AttemptContext, store_at: StoreAt, sandbox: Sandbox, clock: Clock
) -> None:
    """In a rolling restart, workers with two prefixes and two lengths stand side by side."""
    old = replace(context, store=store_at(clock, inquiry_uids=InquiryUids("OLD", 15)))
    new = replace(context, store=store_at(clock, inquiry_uids=InquiryUids("NEWER", 14)))
    run(old, clock, "drop-1", turns=1)

    def dies() -> None:
        clock.forward(LEASE)
        assert rescue_all(new) == 1

    attempt("U1", replace(old, roster=once_in_flight(old, dies)))
    asked = sandbox.journal.entries()[-1]
    (_, spoken_for) = attempts(new.store)
    assert asked.operation == spoken_for["kind"] == "inquiry"
    assert asked.partner_txn_uid == spoken_for["wire_uid"]
    assert re.fullmatch("OLD[0-9a-f]{12}", spoken_for["wire_uid"])


def test_a_request_that_never_arrived_is_sent_again_after_the_inquiry(
    context: AttemptContext, clock: Clock
) -> None:
    assert run(context, clock, "dropbefore-1") == [
        ("cancel", "connection_dropped", "doubt"),
        ("inquiry", "payable", "retry"),
        ("cancel", "cancelled", "succeed"),
    ]
    assert (row(context.store)["outcome"], row(context.store)["attempts"]) == ("cancelled", 2)


def test_a_customer_who_paid_meanwhile_is_found_out(context: AttemptContext, clock: Clock) -> None:
    assert run(context, clock, "droppay-1")[-1] == ("inquiry", "paid", "refuse")
    assert row(context.store)["outcome"] == "paid"


def test_a_bank_that_refuses_repeated_uids_for_ever_is_asked_instead(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    """The worker never learns the fate by repeating; an inquiry has a uid of its own."""
    sandbox.change_rules(repeats="strictest")
    assert run(context, clock, "drop-1")[-1] == ("inquiry", "cancelled", "succeed")


def test_inquiries_that_fail_spend_no_attempt_and_go_on(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    acts = ["busy1", "http503", "drop", "code.invalid_tokenId", "garbage", "ok"]
    sandbox.script("lost-1", cancel=["drop"], inquiry=acts)
    told = run(context, clock, "lost-1")
    assert [kind for kind, _, _ in told] == ["cancel"] + ["inquiry"] * 6
    assert told[-1][1:] == ("cancelled", "succeed")
    assert (row(context.store)["attempts"], row(context.store)["conversations"]) == (1, 7)


def test_a_token_that_the_bank_does_not_know_stays_in_doubt_and_ends_unknown(
    context: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    sandbox.script("lost-1", cancel=["drop"], inquiry=["say.NOT_FOUND"])
    told = run(context, clock, "lost-1", turns=6)
    assert {kind for kind, _, _ in told[1:]} == {"inquiry"}
    assert {decision for _, _, decision in told} == {"doubt"}
    clock.forward(POLICY.max_age)
    attempt("U1", context)
    assert row(context.store)["outcome"] == "unknown"

"""An operator lets a final job try again, or be continued by another; both are recorded."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.stock import (
    ANSWERED,
    BUSY,
    CANCELLED,
    LOST,
    NOON,
    PAID,
    Clock,
    accept,
    attempts,
    claim,
    claimed,
    only,
    order,
    row,
    settle,
)
from worker.domain.decision import Decision
from worker.domain.states import Event, Outcome
from worker.store import JobFilter, NewExpiry, RequeueRequest, RequeueResult, Status, Store, Verdict

REFUSED = Decision(Event.REFUSE, "refused", "errorCode x", outcome=Outcome.REFUSED)
UNKNOWN = Decision(Event.EXHAUST, "duplicate", "seen", outcome=Outcome.UNKNOWN)
GAVE_UP = Decision(Event.EXHAUST, "later", "busy", outcome=Outcome.GAVE_UP)
LAPSED = Decision(Event.EXHAUST, "later", "busy", outcome=Outcome.LAPSED)
AGAIN = [REFUSED, UNKNOWN, GAVE_UP]


def end(store: Store, decision: Decision, uid: str = "U1", **fields: Any) -> None:
    accept(store, uid, **fields)
    settle(store, claimed(store, uid), decision)


def requeue(store: Store, uid: str = "U1", **wish: Any) -> RequeueResult:
    given = {"inquirers": (), **wish}
    return store.actions.requeue(RequeueRequest(uid, **given), who="ploy", reason="mended")


def reissue(store: Store, heir: str = "U2", uid: str = "U1", **wish: Any) -> RequeueResult:
    given = {"inquirers": (), **wish}
    return store.actions.reissue(RequeueRequest(uid, **given), heir, who="ploy", reason="no way on")


@pytest.mark.parametrize("decision", AGAIN, ids=lambda decision: decision.outcome)
def test_a_final_job_waits_for_its_turn_again_with_all_its_attempts(
    store: Store, clock: Clock, decision: Decision
) -> None:
    end(store, decision)
    clock.forward(3600)
    assert requeue(store).verdict is Verdict.DONE
    job = row(store)
    assert only(job, "state", "outcome", "finished_at", "attempts", "hinted_at") == (
        "pending",
        None,
        None,
        0,
        None,
    )
    assert only(job, "next_attempt_at", "requeued_at", "created_at") == (
        clock.now,
        clock.now,
        NOON,
    )
    assert settle(store, claimed(store), CANCELLED, ANSWERED)
    assert [each["number"] for each in attempts(store)] == [1, 2]


def test_doubt_is_remembered_by_a_job_that_tries_again(store: Store) -> None:
    end(store, UNKNOWN)
    requeue(store)
    assert row(store)["doubted"]
    assert claimed(store).doubted


def inquiries(store: Store) -> int | None:
    """Return how many inquiries count for the wait of a job that is in doubt now."""
    mine = claimed(store, inquirers=("P1",))
    assert mine.kind == "inquiry"
    return mine.case(at=NOON, jitter=0.5, inquirers=["P1"]).inquiries


def test_after_a_requeue_the_first_inquiry_comes_as_soon_as_for_a_fresh_job(
    store: Store, clock: Clock
) -> None:
    accept(store, "U1")
    settle(store, claimed(store), LOST)
    for _ in range(12):
        clock.forward(60)
        settle(store, claimed(store, inquirers=("P1",)), replace(LOST, bank_failed=False))
    clock.forward(60)
    settle(store, claimed(store, inquirers=("P1",)), UNKNOWN)
    requeue(store, inquirers=["P1"])
    settle(store, claimed(store), LOST)
    clock.forward(60)
    assert inquiries(store) == 0


def test_calls_that_spent_no_attempt_do_not_put_off_the_first_inquiry(
    store: Store, clock: Clock
) -> None:
    """A bank that said "too many" twenty times is asked soon all the same."""
    accept(store, "U1")
    for _ in range(20):
        settle(store, claimed(store), replace(BUSY, spent=False))
        clock.forward(60)
    settle(store, claimed(store), LOST)
    clock.forward(60)
    settle(store, claimed(store, inquirers=("P1",)), replace(LOST, bank_failed=False))
    clock.forward(60)
    assert only(row(store), "attempts", "conversations", "uncounted") == (1, 22, 20)
    assert inquiries(store) == 1


def test_a_requeue_is_recorded_with_who_why_before_and_after(store: Store) -> None:
    end(store, GAVE_UP)
    requeue(store)
    (record,) = store.reports.actions("U1")
    assert only(record, "who", "action", "target", "reason", "at") == (
        "ploy",
        "requeue",
        "U1",
        "mended",
        NOON,
    )
    assert only(record["before"], "state", "outcome", "attempts") == ("exhausted", "gave_up", 1)
    assert only(record["after"], "state", "outcome", "attempts") == ("pending", None, 0)


@pytest.mark.parametrize(
    ("decision", "verdict"),
    [
        (CANCELLED, Verdict.SUCCEEDED),
        (PAID, Verdict.PAID),
        (BUSY, Verdict.NOT_FINAL),
        (LOST, Verdict.NOT_FINAL),
    ],
    ids=lambda each: getattr(each, "heard", str(each)),
)
def test_what_has_its_end_or_none_is_left_alone(
    store: Store, decision: Decision, verdict: Verdict
) -> None:
    end(store, decision)
    before = row(store)
    assert requeue(store).verdict is reissue(store).verdict is verdict
    assert row(store) == before
    assert store.reports.actions() == []
    assert not store.jobs.exists("U2")


def test_a_job_that_nobody_stored_is_not_found(store: Store) -> None:
    assert requeue(store) == RequeueResult("U1", Verdict.NOT_FOUND)
    assert reissue(store) == RequeueResult("U1", Verdict.NOT_FOUND)


def test_a_second_requeue_changes_nothing(store: Store) -> None:
    end(store, GAVE_UP)
    requeue(store)
    assert requeue(store).verdict is Verdict.NOT_FINAL
    assert len(store.reports.actions()) == 1


def test_an_expired_token_is_tried_again_only_where_the_bank_can_be_asked(
    store: Store, clock: Clock
) -> None:
    end(store, LAPSED, expires_at=NOON + timedelta(minutes=5))
    clock.forward(600)
    assert requeue(store).verdict is reissue(store).verdict is Verdict.EXPIRED
    assert requeue(store, inquirers=["P1"]).verdict is Verdict.DONE
    assert claimed(store, inquirers=("P1",)).kind == "inquiry"


@pytest.mark.parametrize("later", [timedelta(hours=1), None], ids=["later", "never"])
def test_a_new_expiry_makes_an_expired_token_worth_a_try(
    store: Store, clock: Clock, later: timedelta | None
) -> None:
    end(store, LAPSED, expires_at=NOON + timedelta(minutes=5))
    clock.forward(600)
    at = None if later is None else NOON + later
    assert requeue(store, expiry=NewExpiry(at)).verdict is Verdict.DONE
    assert row(store)["expires_at"] == at
    assert claimed(store).kind == "cancel"


def test_a_new_expiry_that_has_passed_helps_nobody(store: Store, clock: Clock) -> None:
    end(store, LAPSED, expires_at=NOON + timedelta(minutes=5))
    clock.forward(600)
    assert requeue(store, expiry=NewExpiry(NOON)).verdict is Verdict.EXPIRED


def test_a_judgement_in_advance_changes_nothing(store: Store) -> None:
    end(store, GAVE_UP)
    assert store.actions.judge(RequeueRequest("U1", ())).verdict is Verdict.DONE
    assert row(store)["state"] == "exhausted"
    assert store.reports.actions() == []


@pytest.mark.parametrize("decision", AGAIN, ids=lambda decision: decision.outcome)
def test_another_job_continues_a_final_one_and_both_know(
    store: Store, clock: Clock, decision: Decision
) -> None:
    end(store, decision, expires_at=NOON + timedelta(hours=2))
    before = row(store)
    clock.forward(60)
    assert reissue(store).verdict is Verdict.DONE
    assert row(store) == {**before, "continued_by": "U2"}
    heir = row(store, "U2")
    same = ("partner_id", "token_id", "reference1", "expires_at", "doubted")
    assert only(heir, *same) == only(before, *same)
    assert only(heir, "state", "continues", "created_at", "attempts") == (
        "pending",
        "U1",
        clock.now,
        0,
    )
    assert claim(store, "U2") is not None


def test_the_new_job_does_not_believe_a_refusal_after_the_old_ones_doubt(store: Store) -> None:
    end(store, UNKNOWN)
    reissue(store)
    assert claimed(store, "U2").doubted


def test_a_reissue_is_recorded_and_the_same_again_is_not(store: Store) -> None:
    end(store, UNKNOWN)
    reissue(store)
    assert reissue(store).verdict is Verdict.DONE_BEFORE
    (record,) = store.reports.actions("U1")
    assert only(record, "action", "who", "reason") == ("reissue", "ploy", "no way on")
    assert (record["before"]["continued_by"], record["after"]["continued_by"]) == (None, "U2")


def test_a_job_is_continued_once(store: Store) -> None:
    end(store, UNKNOWN)
    reissue(store)
    assert reissue(store, "U3").verdict is Verdict.CONTINUED
    assert requeue(store).verdict is Verdict.CONTINUED
    assert not store.jobs.exists("U3")


def test_a_uid_that_is_taken_stays_as_it_is(store: Store) -> None:
    end(store, UNKNOWN)
    accept(store, "U2")
    before = row(store, "U2")
    assert reissue(store).verdict is Verdict.UID_TAKEN
    assert reissue(store, "U1").verdict is Verdict.UID_TAKEN
    assert row(store, "U2") == before
    assert row(store)["continued_by"] is None


def test_the_producers_order_for_the_new_uid_is_a_duplicate(store: Store) -> None:
    end(store, UNKNOWN)
    reissue(store)
    sent = store.jobs.accept(order("U2", token_id="T-U1"), hinted=False)
    assert sent.status is Status.DUPLICATE


def test_jobs_to_try_again_come_in_batches_each_once(store: Store) -> None:
    for number in range(5):
        end(store, GAVE_UP, f"U{number}")
    end(store, UNKNOWN, "U7")
    end(store, GAVE_UP, "U8", partner_id="P2")
    of_p1 = JobFilter(outcome=Outcome.GAVE_UP, partner_id="P1")
    pages = store.reports.finals(of_p1, batch=2)
    uids = []
    for page in pages:
        uids.append([each["partner_txn_uid"] for each in page])
        requeue(store, uids[-1][0])
    assert uids == [["U0", "U1"], ["U2", "U3"], ["U4"]]
    rest = store.reports.finals(JobFilter(outcome=Outcome.GAVE_UP), most=2, batch=10)
    assert [each["partner_txn_uid"] for page in rest for each in page] == ["U1", "U3"]


def test_a_job_that_is_continued_is_not_found_among_those_to_try_again(store: Store) -> None:
    end(store, UNKNOWN)
    reissue(store)
    assert list(store.reports.finals(JobFilter(outcome=Outcome.UNKNOWN))) == []


def test_the_record_of_acts_is_read_newest_first_and_by_its_target(store: Store) -> None:
    end(store, GAVE_UP)
    requeue(store)
    store.actions.pause_partner("P1", who="ploy", reason="maintenance")
    newest = store.reports.actions()
    assert [each["action"] for each in newest] == ["pause_partner", "requeue"]
    assert [each["target"] for each in store.reports.actions("U1")] == ["U1"]
    assert len(store.reports.actions(most=1)) == 1

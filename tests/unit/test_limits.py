"""The ends and the waits of a job that is still undecided after an attempt."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.unit.cases import (
    EXPIRED,
    FAULTS,
    FIRST,
    LAST,
    NOW,
    OLD,
    POLICY,
    answer,
    document,
    error,
    judge,
)
from worker.domain.answer import Answer
from worker.domain.decision import Case
from worker.domain.judgement import decide, decide_inquiry, decide_lease_ended
from worker.domain.limits import LAST_MOMENT, last_word, limit_reached, valid_expiry
from worker.domain.states import Event, Outcome
from worker.errors import AnswerLost, BankError, BankUnreachable, BankUntrusted, CallNotMade

UNREACHED = BankUnreachable("connection refused", fault="connect")
LOST = AnswerLost("timed out", fault="read_timeout")


@pytest.mark.parametrize(
    ("case", "outcome", "told"),
    [
        (LAST, Outcome.GAVE_UP, "all 20 attempts are spent"),
        (OLD, Outcome.GAVE_UP, "the job's longest age is reached"),
        (EXPIRED, Outcome.LAPSED, "the token's own expiry has passed"),
        (replace(LAST, expires_at=NOW), Outcome.LAPSED, "the token's own expiry has passed"),
    ],
)
def test_a_job_that_never_got_through_ends_at_its_limit(
    case: Case, outcome: Outcome, told: str
) -> None:
    decision = decide(UNREACHED, case, POLICY)
    assert (decision.event, decision.outcome) == (Event.EXHAUST, outcome)
    assert decision.reason.endswith(told)
    assert decision.wait is None


@pytest.mark.parametrize("case", [LAST, OLD, EXPIRED])
def test_a_job_that_the_bank_may_have_cancelled_ends_unknown(case: Case) -> None:
    assert decide(LOST, case, POLICY).outcome is Outcome.UNKNOWN
    assert decide(UNREACHED, replace(case, doubted=True), POLICY).outcome is Outcome.UNKNOWN
    refused = judge(error("invalid_reference1"), case=replace(case, doubted=True))
    assert (refused.event, refused.outcome) == (Event.EXHAUST, Outcome.UNKNOWN)


@pytest.mark.parametrize("case", [LAST, OLD, EXPIRED])
def test_a_clear_answer_outranks_every_limit(case: Case) -> None:
    assert judge(document(), case=case).outcome is Outcome.CANCELLED
    assert judge(error("qr_paid"), case=case).outcome is Outcome.PAID
    assert judge(error("invalid_reference1"), case=case).outcome is Outcome.REFUSED


@pytest.mark.parametrize("attempts", [1, 19, 20, 21, 10**6])
def test_an_attempt_that_is_not_spent_never_ends_a_job_by_count(attempts: int) -> None:
    case = replace(FIRST, attempts=attempts)
    untrusted = BankUntrusted("bad certificate", fault="tls")
    for decision in (
        judge(b"", http_status=429, case=case),
        judge(error("authentication_error"), case=case),
        judge(b"", http_status=401, case=case),
        decide(untrusted, case, POLICY),
    ):
        assert (decision.event, decision.spent) == (Event.RETRY, False)


def test_the_last_attempt_but_one_leaves_one() -> None:
    case = replace(FIRST, attempts=POLICY.max_attempts - 1)
    assert decide(UNREACHED, case, POLICY).event is Event.RETRY
    assert decide(LOST, case, POLICY).event is Event.DOUBT


def test_limits_are_reached_at_their_moment_and_not_before() -> None:
    blink = timedelta(microseconds=1)
    young = replace(OLD, created_at=OLD.created_at + blink)
    fresh = replace(EXPIRED, expires_at=NOW + blink)
    assert decide(UNREACHED, young, POLICY).event is Event.RETRY
    assert decide(UNREACHED, fresh, POLICY).event is Event.RETRY


UNSPENT = [
    answer(b"", http_status=429),
    answer(b"", http_status=429, headers={"retry-after": "30"}),
    answer(error("general_error"), http_status=429),
    answer(b"", http_status=403),
    answer(b"", http_status=302),
    CallNotMade("every connection was busy", fault="pool_timeout"),
]


def test_a_pause_ends_no_job() -> None:
    """A person has to mend its cause first, however long that takes."""
    for case in (EXPIRED, OLD, replace(OLD, inquiries=0)):
        for judged in (decide, decide_inquiry):
            ours = judged(answer(error("authentication_error")), case, POLICY)
            assert (ours.event, ours.outcome) == (Event.RETRY, None)
            assert ours.pause_reason is not None


@pytest.mark.parametrize("heard", UNSPENT)
def test_what_spends_no_attempt_does_not_outlive_the_longest_age(heard: Answer | BankError) -> None:
    old = decide(heard, OLD, POLICY)
    assert (old.event, old.outcome) == (Event.EXHAUST, Outcome.GAVE_UP)
    assert old.reason.endswith("the job's longest age is reached")
    assert not old.spent
    doubted = replace(OLD, doubted=True, inquiries=3)
    assert decide(heard, doubted, POLICY).outcome is Outcome.UNKNOWN
    assert decide_inquiry(heard, doubted, POLICY).outcome is Outcome.UNKNOWN
    assert decide(heard, FIRST, POLICY).event is Event.RETRY


@pytest.mark.parametrize("heard", UNSPENT)
def test_what_spends_no_attempt_leaves_the_expiry_to_the_sweep(heard: Answer | BankError) -> None:
    for case in (EXPIRED, replace(EXPIRED, inquiries=0)):
        assert decide(heard, case, POLICY).event is Event.RETRY


@pytest.mark.parametrize("fault", [LOST, UNREACHED])
def test_past_its_expiry_a_job_waits_for_a_last_inquiry_where_one_can_be_made(
    fault: BankError,
) -> None:
    decision = decide(fault, replace(EXPIRED, inquiries=0), POLICY)
    assert decision.outcome is None
    assert decision.wait is not None
    assert decision.wait <= LAST_MOMENT


def test_doubt_that_can_be_settled_by_asking_outlives_the_last_attempt() -> None:
    decision = decide(LOST, replace(LAST, inquiries=0), POLICY)
    assert (decision.event, decision.outcome) == (Event.DOUBT, None)
    assert decide(UNREACHED, replace(LAST, inquiries=0), POLICY).outcome is Outcome.GAVE_UP
    old = decide(LOST, replace(OLD, inquiries=0), POLICY)
    assert old.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_no_wait_sleeps_past_an_expiry_that_an_earlier_try_can_meet(jitter: float) -> None:
    left = timedelta(seconds=40)
    case = replace(FIRST, attempts=9, expires_at=NOW + left, jitter=jitter)
    for fault in (LOST, UNREACHED):
        wait = decide(fault, case, POLICY).wait
        assert wait is not None
        assert left / 2 <= wait < left * 0.75


def test_in_its_last_moment_the_next_look_comes_just_after_the_expiry() -> None:
    case = replace(FIRST, attempts=9, expires_at=NOW + LAST_MOMENT)
    assert decide(LOST, case, POLICY).wait == 2 * LAST_MOMENT


def test_the_banks_own_time_outranks_the_expiry() -> None:
    told = answer(b"", http_status=503, headers={"retry-after": "120"})
    case = replace(FIRST, expires_at=NOW + timedelta(seconds=60), jitter=0.0)
    assert decide(told, case, POLICY).wait == timedelta(seconds=120)


@pytest.mark.parametrize("http_status", [408, 425, 429, 503])
def test_the_banks_advice_outranks_our_schedule(http_status: int) -> None:
    told = answer(b"", http_status=http_status, headers={"retry-after": "120"})
    decision = decide(told, replace(FIRST, jitter=0.0), POLICY)
    assert decision.wait == decision.retry_after == timedelta(seconds=120)


def test_advice_reaches_a_code_that_says_later() -> None:
    told = answer(error("general_error"), headers={"retry-after": "9"})
    assert decide(told, FIRST, POLICY).retry_after == timedelta(seconds=9)


def test_waits_grow_with_the_attempts() -> None:
    waits = [
        decide(LOST, replace(FIRST, attempts=attempts), POLICY).wait for attempts in range(1, 20)
    ]
    assert waits[0] == timedelta(seconds=1.5)
    assert waits[1] == timedelta(seconds=3)
    assert waits[-1] == timedelta(seconds=225)


def test_an_attempt_whose_worker_fell_silent_is_doubt() -> None:
    decision = decide_lease_ended(FIRST, POLICY)
    assert (decision.event, decision.heard) == (Event.DOUBT, "lease_ended")
    assert decision.spent
    assert decision.wait is not None


@pytest.mark.parametrize("case", [LAST, OLD, EXPIRED])
def test_an_attempt_that_fell_silent_at_a_limit_ends_unknown(case: Case) -> None:
    decision = decide_lease_ended(case, POLICY)
    assert (decision.event, decision.outcome) == (Event.EXHAUST, Outcome.UNKNOWN)


def test_an_age_without_bound_breaks_nothing() -> None:
    policy = replace(POLICY, max_age=timedelta.max)
    for fault in FAULTS:
        assert decide(fault, OLD, policy).outcome is None


@pytest.mark.parametrize(
    ("doubted", "expires_in", "outcome"),
    [
        (True, None, Outcome.UNKNOWN),
        (True, -1, Outcome.UNKNOWN),
        (False, -1, Outcome.LAPSED),
        (False, 0, Outcome.LAPSED),
        (False, 1, Outcome.GAVE_UP),
        (False, None, Outcome.GAVE_UP),
    ],
)
def test_doubt_outlives_every_deadline(
    *, doubted: bool, expires_in: int | None, outcome: Outcome
) -> None:
    expires_at = None if expires_in is None else NOW + timedelta(seconds=expires_in)
    assert last_word(doubted=doubted, expires_at=expires_at, at=NOW) is outcome


def test_a_job_within_its_limits_reaches_none() -> None:
    assert not limit_reached(replace(FIRST, expires_at=None), POLICY, attempts=19)


@pytest.mark.parametrize(
    ("expires_at", "still_payable_at", "expiry"),
    [
        (None, None, None),
        (None, NOW, None),
        (NOW, None, NOW),
        (NOW, NOW - timedelta(microseconds=1), NOW),
        (NOW, NOW, None),
        (NOW, NOW + timedelta(microseconds=1), None),
    ],
)
def test_an_expiry_at_which_the_bank_called_the_token_payable_was_wrong(
    expires_at: datetime | None, still_payable_at: datetime | None, expiry: datetime | None
) -> None:
    assert valid_expiry(expires_at, still_payable_at=still_payable_at) == expiry

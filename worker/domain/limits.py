"""When an undecided job ends, with which outcome, and its last tries before the expiry."""

from dataclasses import replace
from datetime import datetime, timedelta

from worker.domain.decision import Case, Decision, Policy
from worker.domain.states import Event, Outcome

LAST_MOMENT = timedelta(seconds=2)
"""With less time left than this, there is no further try before the expiry."""


def within_limits(
    decision: Decision, case: Case, policy: Policy, *, attempts: int, at_expiry: bool = True
) -> Decision:
    """
    End a job that has reached a limit, or set the wait before its next try.

    A pause ends no job: a person mends its cause first.
    """
    if decision.outcome is not None:
        return decision
    if decision.pause_reason is not None:
        return with_wait(decision, case, policy)
    limit = limit_reached(case, policy, attempts=attempts, at_expiry=at_expiry)
    if not limit:
        return with_wait(decision, case, policy)
    doubted = case.doubted or decision.event is Event.DOUBT
    outcome = last_word(doubted=doubted, expires_at=case.expires_at, at=case.at)
    reason = f"{decision.reason}; {limit}"
    return replace(decision, event=Event.EXHAUST, outcome=outcome, reason=reason)


def with_wait(decision: Decision, case: Case, policy: Policy) -> Decision:
    """Set the wait. Inquiries, and doubt that one can settle, have a schedule of their own."""
    # No attempt is spent on a gateway: the waits grow with the conversations, so that a job which
    # it refuses for ever leaves the partner to the others.
    tries = max(case.attempts, case.conversations) if decision.turned_away else case.attempts
    backoff = policy.backoff
    if case.inquiries is not None and (case.asks or decision.event is Event.DOUBT):
        backoff, tries = policy.inquiry_backoff, case.inquiries + 1
    wait = backoff.wait(tries, jitter=case.jitter, retry_after=decision.retry_after)
    # A time that the bank named outranks even the expiry: earlier calls would be rejected. Past
    # the expiry there is nothing left to be in time for.
    past = case.asks and has_expired(case.expires_at, at=case.at)
    return replace(
        decision, wait=wait if decision.retry_after or past else before_expiry(wait, case)
    )


def limit_reached(case: Case, policy: Policy, *, attempts: int, at_expiry: bool = True) -> str:
    """Return the limit that ends an undecided job, as text, or an empty string."""
    if at_expiry and has_expired(case.expires_at, at=case.at):
        return "the token's own expiry has passed"
    if case.at - case.created_at >= policy.max_age:
        return "the job's longest age is reached"
    if attempts >= policy.max_attempts:
        return f"all {policy.max_attempts} attempts are spent"
    return ""


def valid_expiry(
    expires_at: datetime | None, *, still_payable_at: datetime | None
) -> datetime | None:
    """
    Return the token's own expiry; None if it has none, or a wrong one.

    An expiry is wrong if the bank called the token payable at that time or later.
    `store.jobs.transitions.has_expired` says the same in SQL, and
    `tests/integration/test_sql_and_python_agree.py` compares the two.
    """
    if expires_at is None or still_payable_at is None or still_payable_at < expires_at:
        return expires_at
    return None


def has_expired(expires_at: datetime | None, *, at: datetime) -> bool:
    """Say whether the token's own expiry has passed."""
    return expires_at is not None and expires_at <= at


def before_expiry(wait: timedelta, case: Case) -> timedelta:
    """
    Shorten a wait that would end after the expiry, if an earlier try is still possible.

    The new wait is half to three quarters of the time left, so tries come closer together as
    the expiry approaches. With `LAST_MOMENT` or less left, the next try is just after it.
    """
    if case.expires_at is None or case.at + wait < case.expires_at:
        return wait
    left = max(case.expires_at - case.at, timedelta(0))
    if left > LAST_MOMENT:
        return left * ((2 + case.jitter) / 4)
    return min(wait, left + LAST_MOMENT)


def last_word(*, doubted: bool, expires_at: datetime | None, at: datetime) -> Outcome:
    """
    Return the outcome of a job that ends undecided; a doubted one is unknown, expired or not.

    `store.jobs.transitions.last_word` says the same in SQL, and
    `tests/integration/test_sql_and_python_agree.py` compares the two.
    """
    if doubted:
        return Outcome.UNKNOWN
    return Outcome.LAPSED if has_expired(expires_at, at=at) else Outcome.GAVE_UP

"""When an undecided job may not try again, what is then said of it, and the last tries before."""

from datetime import datetime, timedelta

from worker.domain.decision import Case, Policy
from worker.domain.states import Outcome

LAST_MOMENT = timedelta(seconds=2)
"""With less than this left no further try is squeezed in before the expiry."""


def limit_reached(case: Case, policy: Policy, *, attempts: int, at_expiry: bool = True) -> str:
    """Return which limit ends an undecided job, in plain words, or an empty string."""
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
    Shorten a wait that would sleep past an expiry which an earlier try can still meet.

    Half to three quarters of what is left are waited, so that tries come closer as the
    expiry does; in its last moment the next look comes just after it.
    """
    if case.expires_at is None or case.at + wait < case.expires_at:
        return wait
    left = max(case.expires_at - case.at, timedelta(0))
    if left > LAST_MOMENT:
        return left * ((2 + case.chance) / 4)
    return min(wait, left + LAST_MOMENT)


def last_word(*, doubted: bool, expires_at: datetime | None, at: datetime) -> Outcome:
    """
    Return the outcome of a job that ends undecided: doubt outlives every deadline.

    `store.jobs.transitions.last_word` says the same in SQL, and
    `tests/integration/test_sql_and_python_agree.py` compares the two.
    """
    if doubted:
        return Outcome.UNKNOWN
    return Outcome.LAPSED if has_expired(expires_at, at=at) else Outcome.GAVE_UP

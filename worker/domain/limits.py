"""When an undecided job ends, with which outcome, and its last tries before the expiry."""

from datetime import datetime, timedelta

from worker.domain.decision import Case, Policy
from worker.domain.states import Outcome

LAST_MOMENT = timedelta(seconds=2)
"""With less time left than this, there is no further try before the expiry."""


def limit_reached(case: Case, policy: Policy, *, attempts: int, at_expiry: bool = True) -> str:
    """Return the limit that ends an undecided job, as text, or an empty string."""
    if at_expiry and has_expired(case):
        return "the token's own expiry has passed"
    if case.at - case.created_at >= policy.max_age:
        return "the job's longest age is reached"
    if attempts >= policy.max_attempts:
        return f"all {policy.max_attempts} attempts are spent"
    return ""


def has_expired(case: Case) -> bool:
    """Say whether the token's own expiry has passed."""
    return case.expires_at is not None and case.expires_at <= case.at


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
    """Return the outcome of a job that ends undecided; a doubted one is unknown, expired or not."""
    if doubted:
        return Outcome.UNKNOWN
    if expires_at is not None and expires_at <= at:
        return Outcome.LAPSED
    return Outcome.GAVE_UP

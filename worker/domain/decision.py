"""What a judgement is made from, and what it says."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.domain.backoff import Backoff
from worker.domain.dialect import Dialect
from worker.domain.kplus import CancelRequest
from worker.domain.states import Event, Outcome


@dataclass(frozen=True, slots=True)
class Policy:
    """How long and how often to try, and how to read the bank."""

    dialect: Dialect
    backoff: Backoff
    inquiry_backoff: Backoff
    max_attempts: int
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class Case:
    """
    The job as one attempt sees it.

    `attempts` counts this one; `doubted` says whether an earlier one ended in doubt; its age
    counts from `created_at`; `at` is the time of the judgement and `chance` a number in
    [0, 1). `inquiries` counts those made so far; None where the bank cannot be asked what
    became of a token.
    """

    request: CancelRequest
    attempts: int
    doubted: bool
    created_at: datetime
    expires_at: datetime | None
    at: datetime
    chance: float
    inquiries: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What happens to the job.

    `heard` is a stable word for what was heard, `reason` says in plain words why it was
    judged so. `spent` is False where the attempt does not count. `wait` is set for the
    events that lead to another try, `outcome` for those that end the job. `pause` is the
    reason to pause the partner, where the fault is ours and not the token's; `strain` says
    that the bank, not the token, failed: a run of those lets the partner cool down.
    `throttled` says that the bank wants fewer calls, `proves` that it took us for who we are
    and spoke of the token: until then, a partner's calls go one by one.
    """

    event: Event
    heard: str
    reason: str
    outcome: Outcome | None = None
    token_status: str | None = None
    wait: timedelta | None = None
    advice: timedelta | None = None
    spent: bool = True
    pause: str | None = None
    strain: bool = False
    throttled: bool = False
    proves: bool = False

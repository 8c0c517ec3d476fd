"""What a judgement is made from, and its result."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.domain.backoff import Backoff
from worker.domain.dialect import Dialect
from worker.domain.kplus import CancelRequest, InquiryRequest
from worker.domain.retry_after import LONGEST_BELIEVED
from worker.domain.states import Event, Outcome


@dataclass(frozen=True, slots=True)
class Policy:
    """
    How long and how often to try, and what the bank's words mean.

    A `Retry-After` beyond `max_retry_after` is a slip of the bank's.
    """

    dialect: Dialect
    backoff: Backoff
    inquiry_backoff: Backoff
    max_attempts: int
    max_age: timedelta
    max_retry_after: timedelta = LONGEST_BELIEVED


@dataclass(frozen=True, slots=True)
class Case:
    """
    The job as it stands when one attempt is judged.

    `attempts` includes this one. `doubted`: an earlier attempt ended in doubt. The job's age
    counts from `created_at`. `at` is the time of the judgement, `jitter` a random number in
    [0, 1). `inquiries` is the number of inquiries before; None if the bank has no inquiry call.
    `conversations` is the number of this one.
    """

    request: CancelRequest
    attempts: int
    doubted: bool
    created_at: datetime
    expires_at: datetime | None
    at: datetime
    jitter: float
    inquiries: int | None = None
    conversations: int = 0

    @property
    def asks(self) -> bool:
        """Whether this conversation is an inquiry."""
        return isinstance(self.request, InquiryRequest)


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What happens to the job.

    `heard` is a stable word for the answer or the fault, `reason` the explanation for people.
    `outcome` is set if the job ends, `wait` if it is tried again, `retry_after` if the bank
    named a time. `spent` is False if this attempt does not count.

    For the partner: `pause_reason` is set if our own side is at fault, and the partner is
    paused. `bank_failed`: the bank failed, not the token; a run of failures starts a cool-down.
    `throttled`: the bank wants fewer calls. `turned_away`: a gateway in front of the bank did not
    let us through, and the partner rests until it does. `proves_partner`: the bank answered in
    its own words, and not against us; until then, a partner's calls are made one or two at a time.
    """

    event: Event
    heard: str
    reason: str
    outcome: Outcome | None = None
    token_status: str | None = None
    wait: timedelta | None = None
    retry_after: timedelta | None = None
    spent: bool = True
    pause_reason: str | None = None
    bank_failed: bool = False
    throttled: bool = False
    turned_away: bool = False
    proves_partner: bool = False

"""What an explanation of a job is made from. Pure: the time is an argument."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from worker.domain.heard import NOTHING_SENT
from worker.domain.limits import has_expired, valid_expiry
from worker.domain.maintenance import Maintenance
from worker.explain import Row
from worker.explain.partner import PartnerView


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits after which a job ends undecided."""

    max_attempts: int
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class JobContext:
    """
    All that an explanation is made from.

    `heard` is what was heard in any attempt, `same_token` the uids of jobs with the same token.
    `drift` is the last audit that contradicts the job's end; None if none does.
    """

    job: Row
    partner: PartnerView
    limits: Limits
    now: datetime
    heard: frozenset[str] = frozenset()
    maintenance: Maintenance = field(default_factory=Maintenance)
    same_token: tuple[str, ...] = ()
    drift: Row | None = None

    @property
    def was_asked(self) -> bool:
        """Whether any call left for the bank."""
        only_tried = bool(self.heard) and self.heard <= NOTHING_SENT
        return bool(self.job["conversations"]) and not only_tried

    @property
    def expiry(self) -> datetime | None:
        """The token's expiry; None if the bank called the token payable after it."""
        return valid_expiry(self.job["expires_at"], still_payable_at=self.job["still_payable_at"])

    @property
    def expired(self) -> bool:
        """Whether the token's expiry has passed."""
        return has_expired(self.expiry, at=self.now)

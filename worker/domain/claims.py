"""A claim, the right to one conversation with the bank, and the evidence it leaves behind."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from worker.domain.answer import Answer
from worker.domain.decision import Case
from worker.domain.kplus import CancelRequest, InquiryRequest
from worker.domain.leases import inquiry_uid


class ClaimKind(StrEnum):
    """What a claim asks the bank for: to cancel the token, or what became of it."""

    CANCEL = "cancel"
    INQUIRY = "inquiry"


@dataclass(frozen=True, slots=True)
class Claim:
    """
    The right to hold one conversation with the bank, until `lease_ends_at`.

    `number` counts the job's conversations; `attempts` includes this one if it is a cancel.
    `started_at` is the database's time of the claim, `wait` the time until the call may begin,
    negative if that has passed. `slot_at` is when it may begin by the database's clock; None if
    nothing asks its partner's calls to keep a distance. The job's age counts from `created_at`:
    when it was accepted, requeued, or its partner's last pause ended, whichever is latest.
    `uncounted` are the conversations that lengthen no wait before an inquiry: those before the
    last requeue, and cancels that spent no attempt. If `partner_is_healthy`, a good answer
    changes nothing in its partner's row.
    """

    request: CancelRequest
    lease_id: str
    number: int
    kind: ClaimKind
    attempts: int
    doubted: bool
    created_at: datetime
    expires_at: datetime | None
    started_at: datetime
    lease_ends_at: datetime
    wait: timedelta = timedelta(0)
    slot_at: datetime | None = None
    partner_is_healthy: bool = False
    uncounted: int = 0

    @property
    def on_the_wire(self) -> CancelRequest:
        """
        The request that is sent; an inquiry has a `partnerTxnUid` of its own.

        That uid is part of the lease id, so a rescue knows it, whatever its own settings are.
        """
        if self.kind is ClaimKind.CANCEL:
            return self.request
        order, uid = self.request, inquiry_uid(self.lease_id)
        return InquiryRequest(uid, order.partner_id, order.token_id, order.reference1)

    def case(self, *, at: datetime, jitter: float, inquirers: Collection[str]) -> Case:
        """Return the case for the judgement of this conversation."""
        return Case(
            request=self.on_the_wire,
            attempts=self.attempts,
            doubted=self.doubted,
            created_at=self.created_at,
            expires_at=self.expires_at,
            at=at,
            jitter=jitter,
            inquiries=self._inquiries() if self.request.partner_id in inquirers else None,
            conversations=self.number,
        )

    def _inquiries(self) -> int:
        """Return how many inquiries were made before, since the job was accepted or requeued."""
        counted = self.number - self.uncounted - self.attempts
        return max(0, counted - (self.kind is ClaimKind.INQUIRY))


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What is stored of a conversation, beside its judgement.

    `credentials` is the fingerprint of the credentials in use; empty if there were none.
    """

    wire_uid: str
    duration: timedelta
    answer: Answer | None = None
    credentials: str = ""

    def words(self) -> dict[str, object]:
        """Return the bank's own words, by the columns in which they are stored."""
        envelope = self.answer.envelope if self.answer else None
        return {
            "status_code": envelope.status_code if envelope else None,
            "error_code": envelope.error_code if envelope else None,
            "error_desc": envelope.error_desc if envelope else None,
            # Empty where there was none: null stands in rows of versions that did not keep it.
            "short_code": (envelope.short_code or "") if envelope else None,
        }

    def entries(self) -> list[dict[str, object]]:
        """Return every entry of the answer's tokenList, by the columns in which it is stored."""
        envelope = self.answer.envelope if self.answer else None
        return [
            {
                "position": position,
                "token_id": entry.token_id,
                "reference1": entry.reference1,
                "status": entry.joined_status(),
            }
            for position, entry in enumerate(envelope.tokens if envelope else ())
        ]

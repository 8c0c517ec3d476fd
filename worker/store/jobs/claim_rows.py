"""A claim, the right to one conversation with the bank, and the evidence it leaves behind."""

from worker.domain.claims import Claim, ClaimKind
from worker.domain.kplus import CancelRequest
from worker.domain.limits import valid_expiry
from worker.store.engine.database import AnyRow
from worker.store.schema.tables import JOBS

CLAIMED = (
    JOBS.partner_txn_uid,
    JOBS.partner_id,
    JOBS.token_id,
    JOBS.reference1,
    JOBS.lease_id,
    JOBS.lease_kind,
    JOBS.lease_ends_at,
    JOBS.conversations,
    JOBS.attempts,
    JOBS.doubted,
    JOBS.created_at,
    JOBS.updated_at,
    JOBS.requeued_at,
    JOBS.expires_at,
    JOBS.still_payable_at,
)
"""The columns of a job that `as_claim` reads."""


def as_claim(row: AnyRow, *, calm: bool = False) -> Claim:
    """Read a row in flight as the claim that holds it."""
    return Claim(
        request=CancelRequest(row.partner_txn_uid, row.partner_id, row.token_id, row.reference1),
        lease_id=row.lease_id,
        number=row.conversations,
        kind=ClaimKind(row.lease_kind),
        attempts=row.attempts,
        doubted=row.doubted,
        created_at=row.requeued_at or row.created_at,
        expires_at=valid_expiry(row.expires_at, still_payable_at=row.still_payable_at),
        started_at=row.updated_at,
        lease_ends_at=row.lease_ends_at,
        calm=calm,
    )

"""Taking a claim that needs no gate, and saying of a job without one whether the gate has a say."""

from typing import Any

from sqlalchemy import ColumnElement, Select, Update, and_, bindparam, case, null, or_, select, true

from worker.domain.claims import Claim, ClaimKind
from worker.domain.kplus import CancelRequest
from worker.domain.limits import valid_expiry
from worker.domain.states import Event, State
from worker.store.engine.database import AnyRow, Database
from worker.store.engine.elements import After, Now, OneOf
from worker.store.engine.prepared import Prepared
from worker.store.jobs.transitions import can_ask, has_expired, move, past_its_limits, waiting
from worker.store.partners.conditions import is_calm, is_open, partner_rests
from worker.store.schema.tables import JOBS, cancel_jobs

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


class ClaimStatement:
    """
    Claims a job whose partner asks for no gate: such a claim is nobody else's business.

    Most deliveries too many end here as well, in one round trip to PostgreSQL.
    """

    def __init__(self, database: Database) -> None:
        self._steps = [Prepared(database, step) for step in claim_steps(database)]

    def __call__(self, **params: Any) -> AnyRow | None:
        """
        Return the row in flight, where `lease_id` is set; None where there is no such job.

        Where it is not, `may_be_claimed` says whether the gate is worth a transaction.
        """
        for step in self._steps:
            for row in step(**params):
                return row
        return None


def claim_steps(database: Database) -> list[Any]:
    """Return the statements of a claim that passes no gate; on PostgreSQL they are one."""
    unlimited = OneOf(JOBS.partner_id, "unlimited")
    free = claim_statement().where(is_open(), unlimited).returning(is_calm().label("is_calm"))
    return [free, _look()] if database.is_sqlite else [_with_look(free)]


def claim_statement() -> Any:
    """One guarded statement; the row before decides between a cancel and an inquiry."""
    asks = and_(can_ask(), or_(JOBS.state == State.IN_DOUBT, has_expired()))
    return (
        move(Event.CLAIM)
        .where(JOBS.partner_txn_uid == bindparam("uid"), *_in_turn())
        .values(
            attempts=JOBS.attempts + case((asks, 0), else_=1),
            conversations=JOBS.conversations + 1,
            lease_id=bindparam("lease_id"),
            lease_ends_at=After("lease_seconds"),
            lease_kind=case((asks, str(ClaimKind.INQUIRY)), else_=str(ClaimKind.CANCEL)),
            next_attempt_at=None,
            hinted_at=None,
        )
        .returning(*CLAIMED, is_open().label("is_open"))
    )


def _in_turn() -> tuple[ColumnElement[bool], ...]:
    return (JOBS.next_attempt_at <= Now(), ~past_its_limits(), ~partner_rests())


def _look() -> Select[Any]:
    return select(null().label("lease_id"), _may_be_claimed()).where(
        JOBS.partner_txn_uid == bindparam("uid")
    )


def _with_look(claiming: Update) -> Select[Any]:
    """Return both as one statement, for PostgreSQL: what is looked at is the row before."""
    claimed = claiming.cte("claimed")
    return (
        select(*claimed.c, _may_be_claimed())
        .select_from(cancel_jobs.outerjoin(claimed, true()))
        .where(JOBS.partner_txn_uid == bindparam("uid"))
    )


def _may_be_claimed() -> Any:
    return and_(waiting(), *_in_turn()).label("may_be_claimed")

"""Claims: the statements that take one, and the reading of a claimed row."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Update,
    and_,
    bindparam,
    case,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.sql.dml import ReturningUpdate

from worker.domain.bounds import EARLIEST, LATEST
from worker.domain.claims import Claim, ClaimKind
from worker.domain.kplus import CancelRequest
from worker.domain.limits import valid_expiry
from worker.domain.states import Event, State
from worker.store.engine.database import AnyRow, AnySelect, Database
from worker.store.engine.elements import InList, Now, NowPlus, one_more
from worker.store.engine.prepared import Prepared
from worker.store.jobs.same_token import names_the_token_of
from worker.store.jobs.transitions import can_inquire, has_expired, move, past_its_limits, waiting
from worker.store.partners.conditions import is_healthy, is_open, partner_rests, resumed_at
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
    JOBS.uncounted,
    JOBS.attempts,
    JOBS.doubted,
    JOBS.created_at,
    JOBS.updated_at,
    JOBS.requeued_at,
    JOBS.expires_at,
    JOBS.still_payable_at,
)
"""The columns of a job that `as_claim` reads, beside `resumed_at`."""


def as_claim(row: AnyRow, *, partner_is_healthy: bool = False) -> Claim:
    """Read a row in flight as the claim that holds it."""
    return Claim(
        request=CancelRequest(row.partner_txn_uid, row.partner_id, row.token_id, row.reference1),
        lease_id=row.lease_id,
        number=row.conversations,
        kind=ClaimKind.INQUIRY if row.lease_kind == ClaimKind.INQUIRY else ClaimKind.CANCEL,
        attempts=row.attempts,
        doubted=row.doubted,
        created_at=_aging_since(row),
        expires_at=valid_expiry(row.expires_at, still_payable_at=row.still_payable_at),
        started_at=row.updated_at,
        lease_ends_at=_existing(row.lease_ends_at, row.updated_at),
        partner_is_healthy=partner_is_healthy,
        uncounted=row.uncounted,
    )


def _aging_since(row: AnyRow) -> datetime:
    """Return when a job's age begins: no job grows old while its partner is paused."""
    since: datetime = row.requeued_at or _existing(row.created_at, row.updated_at)
    return max(since, row.resumed_at or since)


def _existing(at: datetime, instead: datetime) -> datetime:
    """Return a time, or another if it is none that Python can hold: no age counts from it."""
    return instead if at in {EARLIEST, LATEST} else at


class ClaimStatement:
    """
    Claims a job whose partner needs no gate, in one round trip to PostgreSQL.

    A message that is delivered once more usually ends here as well.
    """

    def __init__(self, database: Database) -> None:
        self._steps = [Prepared(database, step) for step in claim_steps(database)]

    def __call__(self, **params: object) -> AnyRow | None:
        """
        Return the claimed row, with its `lease_id`; None if there is no such job.

        A row without `lease_id` was not claimed; `may_be_claimed` says whether a claim through
        the gate is worth a transaction.
        """
        for step in self._steps:
            for row in step(**params):
                return row
        return None


def claim_steps(database: Database) -> list[Executable]:
    """Return the statements of a claim that passes no gate; on PostgreSQL they are one."""
    unlimited = InList(JOBS.partner_id, "unlimited")
    free = claim_statement().where(is_open(), unlimited).returning(is_healthy().label("is_healthy"))
    return [free, _lookup()] if database.is_sqlite else [_with_lookup(free)]


def claim_statement() -> ReturningUpdate[Any]:
    """Return the guarded claim of one job, if it is due."""
    claimed = claiming(JOBS.partner_txn_uid == bindparam("uid")).where(*_is_due())
    return claimed.returning(*CLAIMED, resumed_at().label("resumed_at"), is_open().label("is_open"))


def claiming(which: ColumnElement[bool]) -> Update:
    """Return the move of a claim; the row before it decides between a cancel and an inquiry."""
    inquires = and_(can_inquire(), or_(JOBS.state == State.IN_DOUBT, has_expired()))
    return (
        move(Event.CLAIM)
        .where(which)
        .values(
            attempts=case((inquires, JOBS.attempts), else_=one_more(JOBS.attempts)),
            conversations=one_more(JOBS.conversations),
            lease_id=bindparam("lease_id"),
            lease_ends_at=NowPlus("lease_seconds"),
            lease_kind=case((inquires, str(ClaimKind.INQUIRY)), else_=str(ClaimKind.CANCEL)),
            next_attempt_at=None,
            hinted_at=None,
            same_token=names_the_token_of(cancel_jobs),
            hints=0,
        )
    )


def _is_due() -> tuple[ColumnElement[bool], ...]:
    return (JOBS.next_attempt_at <= Now(), ~past_its_limits(), ~partner_rests())


def _lookup() -> AnySelect:
    return select(null().label("lease_id"), _may_be_claimed()).where(
        JOBS.partner_txn_uid == bindparam("uid")
    )


def _with_lookup(claiming: Update) -> AnySelect:
    """Return both as one statement, for PostgreSQL: the lookup reads the row before the claim."""
    claimed = claiming.cte("claimed")
    return (
        select(*claimed.c, _may_be_claimed())
        .select_from(cancel_jobs.outerjoin(claimed, true()))
        .where(JOBS.partner_txn_uid == bindparam("uid"))
    )


def _may_be_claimed() -> ColumnElement[bool]:
    return and_(waiting(), *_is_due()).label("may_be_claimed")

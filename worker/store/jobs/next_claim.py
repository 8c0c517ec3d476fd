"""
The next job of a run, claimed by the statement that settles the last one.

It is the job of the run's partner that is first in line: due, without a hint that somebody else
acts on, the earliest token expiry first, those whose hint was lost behind the others. Its partner
must be open and unlimited, as for a claim that passes no gate.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    String,
    and_,
    bindparam,
    case,
    func,
    select,
)
from sqlalchemy.sql.dml import ReturningUpdate

from worker.domain.bounds import EARLIEST, LATEST
from worker.domain.claims import Claim
from worker.domain.turns import SUSPECT_AFTER
from worker.store.engine.column_types import Utc
from worker.store.engine.database import AnyRow, Database
from worker.store.engine.elements import Now
from worker.store.engine.prepared import Prepared
from worker.store.jobs.claim import CLAIMED, as_claim, claiming
from worker.store.jobs.transitions import past_its_limits, waiting
from worker.store.partners.conditions import is_healthy, is_open, resumed_at
from worker.store.schema.tables import JOBS


@dataclass(frozen=True, slots=True)
class NextClaim:
    """
    The claim that a settlement takes along if a job of this partner is due.

    `lease_id` is known before the statement is sent: where its answer is lost, the claim is found
    by it. `place` is the expiry at which the reading of the partner's line begins.
    """

    partner_id: str
    lease_id: str
    lease: timedelta
    inquirers: list[str]
    place: datetime = EARLIEST


@dataclass(frozen=True, slots=True)
class Settlement:
    """
    Whether the claim was still held, and the next one, if any.

    `place` is the expiry up to which the line was read, `LATEST` if to the end of those with one.
    """

    is_mine: bool
    following: Claim | None = None
    place: datetime = EARLIEST


class Line:
    """The due jobs of a partner in the order of their turns, and the claim of the first."""

    def __init__(self, database: Database) -> None:
        self._claim = Prepared(database, next_statement())
        self._held = Prepared(
            database,
            select(*CLAIMED, resumed_at().label("resumed_at")).where(
                JOBS.lease_id.is_not(None), JOBS.lease_id == bindparam("lease_id")
            ),
        )

    def claim(self, connection: Connection, following: NextClaim) -> AnyRow | None:
        """Claim the next job in a transaction; return its row, or None if there is none."""
        return next(iter(self._claim.on(connection, **params(following))), None)

    def held(self, following: NextClaim) -> Claim | None:
        """Return the claim that was taken under this lease; None if none was, or it has ended."""
        rows = self._held(lease_id=following.lease_id)
        return as_claim(rows[0]) if rows else None


def params(following: NextClaim) -> dict[str, object]:
    """Return the parameters of `next_statement`."""
    return {
        "its_partner": following.partner_id,
        "lease_id": following.lease_id,
        "lease_seconds": following.lease.total_seconds(),
        "inquirers": following.inquirers,
        "place": following.place,
    }


def settlement(row: AnyRow | None) -> Settlement:
    """Return what a settlement says, by the row of the next claim if it took one."""
    if row is None:
        return Settlement(is_mine=True, place=LATEST)
    claim = as_claim(row, partner_is_healthy=row.is_healthy)
    return Settlement(is_mine=True, following=claim, place=row.expires_at or LATEST)


def next_statement(*, only_if: ColumnElement[bool] | None = None) -> ReturningUpdate[tuple[object]]:
    """Return the claim of the job that is first in its partner's line, if the partner is open."""
    its_partner: ColumnElement[str] = bindparam("its_partner", type_=String())
    conditions = [is_open(its_partner)] if only_if is None else [only_if, is_open(its_partner)]
    new, lost = JOBS.hints == 0, JOBS.hints == SUSPECT_AFTER - 1
    # Apart, so that each is read in the order of an index.
    first = func.coalesce(
        _first(new, JOBS.expires_at >= bindparam("place", type_=Utc())),
        _first(new, JOBS.expires_at.is_(None)),
        _first(lost),
    )
    return claiming(JOBS.partner_txn_uid == case((and_(*conditions), first))).returning(
        *CLAIMED,
        resumed_at().label("resumed_at"),
        is_healthy().label("is_healthy"),
    )


def _first(*where: ColumnElement[bool]) -> ScalarSelect[str]:
    """
    Return the first of these jobs that nobody else holds.

    One that was hinted at twice in vain is left to the sweep, which has turns for such jobs: if
    it cannot be claimed, it holds up no run.
    """
    return (
        select(JOBS.partner_txn_uid)
        .where(
            JOBS.partner_id == bindparam("its_partner"),
            JOBS.hinted_at.is_(None),
            waiting(),
            JOBS.next_attempt_at <= Now(),
            ~past_its_limits(),
            *where,
        )
        .order_by(JOBS.expires_at, JOBS.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .correlate(None)
        .scalar_subquery()
    )

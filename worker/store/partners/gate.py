"""
Whether a call of a partner may begin now, and when: the gate that all workers pass.

It is the partner's own row, so it holds for every process, needs no Redis, and a claim that
is refused leaves no trace: both are one transaction.

- Who has not proved itself lately (never called, resumed, rested, or silent for a while)
  sends one call first; the others wait for what it hears. A wrong secret costs one call.
- `rate_per_second` spaces the calls of all workers evenly. So does `pace` after a rest: the
  return is spread, and quickens with every call.
- `max_concurrency` counts the partner's jobs in flight.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    String,
    and_,
    bindparam,
    case,
    func,
    literal,
    not_,
    or_,
    select,
)

from worker.domain.claims import Claim
from worker.domain.gate import AHEAD, spacing_seconds
from worker.domain.partners import Partner
from worker.domain.states import State
from worker.store.engine.database import Database, rows_of
from worker.store.engine.elements import After, Later, Now
from worker.store.partners.conditions import probing, proven, rests
from worker.store.schema.tables import JOBS, audits, partners

ROW = partners.c

FIRST_PACE = 0.5
"""Seconds between the first calls after a rest."""
QUICKENING = 0.9
"""Each call shortens the pace to this part: about 30 calls, over five seconds."""
LAST_PACE = 0.02
"""A pace below this is none."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave to call; `wait` is the time until the call's slot."""

    wait: timedelta


class Gate:
    """The statements that let a call begin, inside the transaction of its claim."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._enter = _enter(database)
        self._in_flight = _in_flight()

    def enter(self, connection: Connection, claim: Claim, partner: Partner) -> Admission | None:
        """
        Let a claimed call begin; None where it must not, and its claim must be taken back.

        The job's row is locked before the partner's, as everywhere.
        """
        params: dict[str, Any] = {
            **self._database.times,
            "partner": partner.partner_id,
            "lease_id": claim.lease_id,
            "lease_seconds": (claim.lease_ends_at - claim.started_at).total_seconds(),
            "spacing_seconds": spacing_seconds(partner),
        }
        rows = rows_of(connection, self._enter, params)
        if not rows or self._is_full(connection, partner):
            return None
        ((slot_at, now),) = rows
        return Admission(max(slot_at - now, timedelta(0)))

    def _is_full(self, connection: Connection, partner: Partner) -> bool:
        """Count again under the lock of the partner's row: this call is one of them."""
        if partner.max_concurrency is None:
            return False
        params = {**self._database.times, "partner": partner.partner_id}
        ((in_flight,),) = rows_of(connection, self._in_flight, params)
        return int(in_flight) > partner.max_concurrency


def _in_flight() -> Any:
    """Count a partner's calls under way: jobs in flight, and audits."""
    jobs = select(func.count()).where(
        JOBS.partner_id == bindparam("partner"),
        JOBS.state == State.IN_FLIGHT,
        JOBS.lease_ends_at > Now(),
    )
    asking = select(func.count()).where(
        audits.c.partner_id == bindparam("partner"),
        audits.c.finished_at.is_(None),
        audits.c.ends_at > Now(),
    )
    return select(jobs.scalar_subquery() + asking.scalar_subquery())


def _enter(database: Database) -> Any:
    """One guarded upsert: whoever has never called has no row yet."""
    slot = next_slot()
    quicker = ROW.pace * QUICKENING
    needs_proof = not_(proven())
    lease_id = bindparam("lease_id", type_=String())
    return (
        database.insert(partners)
        .values(
            partner_id=bindparam("partner"),
            failures=0,
            updated_at=Now(),
            slot_at=Now(),
            probe_id=lease_id,
            probe_ends_at=After("lease_seconds"),
        )
        .on_conflict_do_update(
            index_elements=["partner_id"],
            set_={
                "slot_at": slot,
                "pace": case((quicker > LAST_PACE, quicker), else_=None),
                "probe_id": case((needs_proof, lease_id), else_=ROW.probe_id),
                "probe_ends_at": case(
                    (needs_proof, After("lease_seconds")), else_=ROW.probe_ends_at
                ),
            },
            where=and_(
                not_(rests()),
                or_(proven(), not_(probing())),
                slot <= After(literal(AHEAD.total_seconds(), Float())),
            ),
        )
        .returning(ROW.slot_at, Now())
    )


def next_slot() -> ColumnElement[Any]:
    """
    Return when the next call may begin, with the longer of the partner's pace and spacing.

    `domain.gate.next_slot` says the same in Python, and
    `tests/integration/test_sql_and_python_agree.py` compares the two.
    """
    pace, own = func.coalesce(ROW.pace, 0.0), bindparam("spacing_seconds", type_=Float())
    after_the_last = Later(ROW.slot_at, case((pace > own, pace), else_=own))
    # A slot further ahead than any is given: the clock was set back since.
    was_given = ROW.slot_at <= After(literal(AHEAD.total_seconds(), Float()))
    return case((and_(was_given, after_the_last > Now()), after_the_last), else_=Now())

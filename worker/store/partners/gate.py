"""
Whether a call of a partner may begin now, and when: the gate that all workers pass.

It is the partner's own row, so it works for all processes and without Redis. Gate and claim
are one transaction: a claim that is turned away leaves no trace.

- A partner that has not proved itself lately (never called, resumed, rested, or without an
  answer for a while) sends one call first, and the others wait for its answer. So a wrong
  secret costs one call.
- `rate_per_second` spaces the calls of all workers evenly. So does `pace` after a rest: calls
  begin slowly, and each shortens the pace.
- `max_concurrency` bounds the partner's calls under way.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
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
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from worker.domain.claims import Claim
from worker.domain.gate import AHEAD, spacing_seconds
from worker.domain.partners import Partner
from worker.domain.states import State
from worker.store.engine.database import AnyRow, Database
from worker.store.engine.elements import Instant, InstantPlus, Now, NowPlus, Plus
from worker.store.engine.prepared import Prepared
from worker.store.partners.conditions import first_call_runs, probing, proven, rests
from worker.store.schema.tables import JOBS, audits, partners

ROW = partners.c

FIRST_PACE = 0.5
"""Seconds between the first calls after a rest."""
PACE_FACTOR = 0.9
"""Each call shortens the pace to this part: it is gone after about 30 calls and five seconds."""
LAST_PACE = 0.02
"""A shorter pace is dropped."""


@dataclass(frozen=True, slots=True)
class Slot:
    """
    The time of a call that may begin.

    `at` is None if nothing asks the partner's calls to keep a distance. `wait` is the time from
    `read_at`, by `Database.seconds`, until then.
    """

    at: datetime | None
    wait: timedelta
    read_at: float


class Gate:
    """The statements that let a call begin, inside the transaction of its claim."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._enter = Prepared(database, _enter(database))
        self._enter_again = Prepared(database, _enter_again())
        self._in_flight = Prepared(database, _in_flight())

    def enter(self, connection: Connection, claim: Claim, partner: Partner) -> Slot | None:
        """
        Take a slot for a claimed call; None if it must not begin and its claim be rolled back.

        The job's row is locked before the partner's, as everywhere.
        """
        rows = self._enter.on(
            connection,
            partner=partner.partner_id,
            lease_id=claim.lease_id,
            uid=claim.request.partner_txn_uid,
            lease_seconds=(claim.lease_ends_at - claim.started_at).total_seconds(),
            spacing_seconds=spacing_seconds(partner),
        )
        if not rows or self._is_full(connection, partner):
            return None
        return self._slot(rows[0], partner)

    def admit(self, claim: Claim, slot: Slot) -> Claim:
        """
        Return the claim with its slot, once its transaction has ended.

        The wait counts from the reading of the slot: a commit that takes long is part of it.
        """
        passed = timedelta(seconds=self._database.seconds() - slot.read_at)
        wait = slot.wait if slot.at is None else slot.wait - passed
        return replace(claim, slot_at=slot.at, wait=wait)

    def enter_again(self, claim: Claim, partner: Partner, *, lead: timedelta) -> Claim | None:
        """
        Take another slot for a call that missed its own, not before so much time has passed.

        Return None if the partner rests, or no slot is free soon. The claim stays as it is.
        """
        with self._database.writing() as connection:
            # A commit that is slow makes calls late; a slot that a crash forgets does no harm.
            self._database.commit_without_flush(connection)
            rows = self._enter_again.on(
                connection,
                partner=partner.partner_id,
                spacing_seconds=spacing_seconds(partner),
                lead_seconds=lead.total_seconds(),
            )
            if not rows:
                return None
            slot = self._slot(rows[0], partner)
        return self.admit(claim, slot)

    def _slot(self, row: AnyRow, partner: Partner) -> Slot:
        read_at = self._database.seconds()
        spaced = row.pace is not None or partner.rate_per_second is not None
        return Slot(
            row.slot_at if spaced else None, max(row.slot_at - row.now, timedelta(0)), read_at
        )

    def _is_full(self, connection: Connection, partner: Partner) -> bool:
        """Count the calls under way, this one included, under the lock of the partner's row."""
        if partner.max_concurrency is None:
            return False
        ((in_flight,),) = self._in_flight.on(connection, partner=partner.partner_id)
        return int(in_flight) > partner.max_concurrency


def _in_flight() -> Executable:
    """Count a partner's calls under way: jobs in flight, and audits."""
    jobs = select(func.count()).where(
        JOBS.partner_id == bindparam("partner"),
        JOBS.state == State.IN_FLIGHT,
        JOBS.lease_ends_at > Now(),
    )
    audits_under_way = select(func.count()).where(
        audits.c.partner_id == bindparam("partner"),
        audits.c.finished_at.is_(None),
        audits.c.ends_at > Now(),
    )
    total = jobs.scalar_subquery() + audits_under_way.scalar_subquery()
    return select(total.label("in_flight"))


def _enter(database: Database) -> Executable:
    """Return the guarded upsert: a partner that has never called has no row yet."""
    slot = next_slot()
    shorter = ROW.pace * PACE_FACTOR
    lease_id = bindparam("lease_id", type_=String())
    return (
        database.insert(partners)
        .values(
            partner_id=bindparam("partner"),
            failures=0,
            updated_at=Now(),
            slot_at=Now(),
            probe_id=lease_id,
            probe_ends_at=NowPlus("lease_seconds"),
            probe_uid=bindparam("uid", type_=String()),
        )
        .on_conflict_do_update(
            index_elements=["partner_id"],
            set_={
                "slot_at": slot,
                "pace": case((shorter > LAST_PACE, shorter), else_=None),
                **_first_calls(),
            },
            where=and_(
                not_(rests()),
                or_(proven(), not_(probing())),
                slot <= InstantPlus(literal(AHEAD.total_seconds(), Float())),
            ),
        )
        .returning(ROW.slot_at, ROW.pace, Instant().label("now"))
    )


def _first_calls() -> dict[str, object]:
    """Return what is written of a call that goes first; nothing if the partner is proven."""
    first = and_(not_(proven()), not_(first_call_runs()))
    second = and_(not_(proven()), first_call_runs())
    lease_id, ends_at = bindparam("lease_id", type_=String()), NowPlus("lease_seconds")
    uid = bindparam("uid", type_=String())
    return {
        "probe_id": case((first, lease_id), else_=ROW.probe_id),
        "probe_ends_at": case((first, ends_at), else_=ROW.probe_ends_at),
        "second_probe_id": case((second, lease_id), else_=ROW.second_probe_id),
        "second_probe_ends_at": case((second, ends_at), else_=ROW.second_probe_ends_at),
        "probe_uid": case((not_(proven()), uid), else_=ROW.probe_uid),
    }


def _enter_again() -> ReturningUpdate[Any]:
    """Return the update that takes another slot; the call was let in before."""
    soonest = InstantPlus("lead_seconds")
    slot = case((next_slot() > soonest, next_slot()), else_=soonest)
    return (
        update(partners)
        .where(
            ROW.partner_id == bindparam("partner"),
            not_(rests()),
            slot <= InstantPlus(literal(AHEAD.total_seconds(), Float())),
        )
        .values(slot_at=slot)
        .returning(ROW.slot_at, ROW.pace, Instant().label("now"))
    )


def next_slot() -> ColumnElement[datetime]:
    """
    Return when the next call may begin, with the longer of the partner's pace and spacing.

    It is told by the time at which the row is held: a statement that began before another and
    came to the row after it would otherwise take that one's slot for one of a clock set back.

    `domain.gate.next_slot` says the same in Python, and
    `tests/integration/test_sql_and_python_agree.py` compares the two.
    """
    pace, own = func.coalesce(ROW.pace, 0.0), bindparam("spacing_seconds", type_=Float())
    after_the_last = Plus(ROW.slot_at, case((pace > own, pace), else_=own))
    # A slot further ahead than any is given: the clock was set back since.
    was_given = ROW.slot_at <= InstantPlus(literal(AHEAD.total_seconds(), Float()))
    return case((and_(was_given, after_the_last > Instant()), after_the_last), else_=Instant())

"""When a partner cools down, and for how long: after a run of failures, or when told to slow."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Float, Integer, String, and_, bindparam, case, literal, or_

from worker.domain.partners import PartnerMode
from worker.store.engine.column_types import Utc
from worker.store.engine.database import Database
from worker.store.engine.elements import After, Now
from worker.store.partners.gate import FIRST_PACE
from worker.store.schema.tables import partners

ROW = partners.c

NO_PROBE: dict[str, Any] = {"probe_id": None, "probe_ends_at": None}
RESTING: dict[str, Any] = {"proven_at": None, "pace": FIRST_PACE, **NO_PROBE}
"""What every rest leaves: one call goes first, and the others follow by and by."""


@dataclass(frozen=True, slots=True)
class Cooldown:
    """When a partner cools down: after a run of failures, doubling up to a cap."""

    run: int = 5
    base: timedelta = timedelta(seconds=5)
    cap: timedelta = timedelta(seconds=300)


def strain(database: Database, rest: Cooldown) -> Any:
    """
    Count a failure; the one that completes the run lets the partner cool down.

    Failures of calls that were under way when the cool-down began do not lengthen it,
    however late they come: while it lasts, no call can begin.
    """
    return (
        database.insert(partners)
        .values(partner_id=bindparam("partner"), updated_at=Now(), **_first_strain(rest))
        .on_conflict_do_update(
            index_elements=["partner_id"],
            set_=_strained(ROW.failures + 1, rest),
            where=_counts(),
        )
    )


def _first_strain(rest: Cooldown) -> dict[str, Any]:
    """Return what is written where the partner has no row, and so has never rested."""
    if rest.run > 1:
        return {"failures": 1}
    cooled = After(_advised(literal(rest.base.total_seconds(), Float())))
    return {
        "failures": 1,
        "mode": PartnerMode.COOLING,
        "reason": bindparam("new_reason"),
        "resume_at": cooled,
        "pace": FIRST_PACE,
    }


def _counts() -> ColumnElement[bool]:
    """Return the condition under which a failure is news."""
    probed = and_(
        ROW.mode == PartnerMode.COOLING, ROW.resume_at <= bindparam("started_at", type_=Utc())
    )
    return or_(ROW.mode == PartnerMode.ACTIVE, probed)


def _strained(failures: ColumnElement[int], rest: Cooldown) -> dict[str, Any]:
    """Return what is written when the failures in a row are so many."""
    cools = failures >= rest.run
    mine = ROW.probe_id == bindparam("lease_id")
    return {
        "failures": failures,
        "mode": case((cools, str(PartnerMode.COOLING)), else_=str(PartnerMode.ACTIVE)),
        "reason": case((cools, bindparam("new_reason", type_=String())), else_=None),
        "resume_at": case((cools, After(_advised(_cooldown(failures, rest)))), else_=None),
        "updated_at": case((cools, Now()), else_=ROW.updated_at),
        "proven_at": case((cools, None), else_=ROW.proven_at),
        "pace": case((cools, FIRST_PACE), else_=ROW.pace),
        "probe_id": case((or_(cools, mine), None), else_=ROW.probe_id),
        "probe_ends_at": case((or_(cools, mine), None), else_=ROW.probe_ends_at),
    }


def throttle(database: Database, rest: Cooldown) -> Any:
    """
    Let the partner rest at once: until the time the bank named, else by the ladder.

    A call that was under way can lengthen the rest only by a time that the bank named.
    """
    advised = bindparam("advice_seconds", type_=Float())
    failures = case(
        (ROW.failures + 1 > rest.run, ROW.failures + 1), else_=literal(rest.run, Integer())
    )
    seconds = case((advised > 0, advised), else_=_cooldown(failures, rest))
    later = and_(ROW.mode == PartnerMode.COOLING, ROW.resume_at > After(seconds))
    throttled: dict[str, Any] = {
        "mode": PartnerMode.COOLING,
        "reason": bindparam("new_reason"),
        "updated_at": Now(),
        **RESTING,
    }
    first = case((advised > 0, advised), else_=literal(rest.base.total_seconds(), Float()))
    return (
        database.insert(partners)
        .values(
            partner_id=bindparam("partner"),
            failures=rest.run,
            resume_at=After(first),
            **throttled,
        )
        .on_conflict_do_update(
            index_elements=["partner_id"],
            set_={
                "failures": case((_counts(), failures), else_=ROW.failures),
                "resume_at": case((later, ROW.resume_at), else_=After(seconds)),
                **throttled,
            },
            where=or_(_counts(), and_(ROW.mode == PartnerMode.COOLING, advised > 0)),
        )
    )


def _advised(seconds: ColumnElement[float]) -> ColumnElement[float]:
    """Return the longer of our rest and the one that the bank asked for."""
    advised = bindparam("advice_seconds", type_=Float())
    return case((advised > seconds, advised), else_=seconds)


def _cooldown(failures: ColumnElement[int], rest: Cooldown) -> ColumnElement[float]:
    """Return the seconds of the next cool-down: doubling from base to cap, as a ladder."""
    base, cap = rest.base.total_seconds(), rest.cap.total_seconds()
    steps = math.ceil(math.log2(cap / base))
    rungs = [(failures == rest.run + step, literal(base * 2.0**step)) for step in range(steps)]
    return case(*rungs, else_=literal(cap)) if rungs else literal(cap)

"""When a partner cools down, and for how long: after failures in a row, or a rate limit."""

import math
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import (
    ColumnElement,
    Executable,
    Float,
    Integer,
    String,
    and_,
    bindparam,
    case,
    literal,
    or_,
)

from worker.domain.partners import PartnerMode
from worker.store.engine.column_types import Utc
from worker.store.engine.database import Database
from worker.store.engine.elements import Now, NowPlus
from worker.store.partners.conditions import probe_ended, was_probe
from worker.store.partners.gate import FIRST_PACE
from worker.store.schema.tables import partners

ROW = partners.c

NO_PROBE: dict[str, object] = {
    "probe_id": None,
    "probe_ends_at": None,
    "second_probe_id": None,
    "second_probe_ends_at": None,
}
AFTER_REST: dict[str, object] = {"proven_at": None, "pace": FIRST_PACE, **NO_PROBE}
"""What every rest writes: after it one call goes first, and the others follow at a pace."""


@dataclass(frozen=True, slots=True)
class Cooldown:
    """When a partner cools down: after so many failures in a row; doubling up to a cap."""

    threshold: int = 5
    base: timedelta = timedelta(seconds=5)
    cap: timedelta = timedelta(seconds=300)


def count_failure(database: Database, cooldown: Cooldown) -> Executable:
    """
    Count a failure; the one that reaches the threshold lets the partner cool down.

    Failures of calls that were under way when the cooldown began do not lengthen it, however
    late they come: while it lasts, no call can begin.
    """
    return (
        database.insert(partners)
        .values(partner_id=bindparam("partner"), updated_at=Now(), **_first_failure(cooldown))
        .on_conflict_do_update(
            index_elements=["partner_id"],
            set_=_after_failure(ROW.failures + 1, cooldown),
            where=_counts(),
        )
    )


def _first_failure(cooldown: Cooldown) -> dict[str, object]:
    """Return what is written if the partner has no row, and so has never rested."""
    if cooldown.threshold > 1:
        return {"failures": 1}
    cooled = NowPlus(_at_least_advice(literal(cooldown.base.total_seconds(), Float())))
    return {
        "failures": 1,
        "mode": PartnerMode.COOLING,
        "reason": bindparam("new_reason"),
        "resume_at": cooled,
        "pace": FIRST_PACE,
    }


def _counts() -> ColumnElement[bool]:
    """Return the condition under which a failure counts."""
    probed = and_(
        ROW.mode == PartnerMode.COOLING, ROW.resume_at <= bindparam("started_at", type_=Utc())
    )
    return or_(ROW.mode == PartnerMode.ACTIVE, probed)


def _after_failure(failures: ColumnElement[int], cooldown: Cooldown) -> dict[str, object]:
    """Return what is written when the failures in a row are so many."""
    cools = failures >= cooldown.threshold
    ended = {name: case((cools, None), else_=value) for name, value in probe_ended().items()}
    return {
        "failures": failures,
        "mode": case((cools, str(PartnerMode.COOLING)), else_=str(PartnerMode.ACTIVE)),
        "reason": case((cools, bindparam("new_reason", type_=String())), else_=None),
        "resume_at": case(
            (cools, NowPlus(_at_least_advice(_seconds(failures, cooldown)))), else_=None
        ),
        "updated_at": case((cools, Now()), else_=ROW.updated_at),
        "proven_at": case((cools, None), else_=ROW.proven_at),
        "pace": case((cools, FIRST_PACE), else_=ROW.pace),
        "failed_probes": ROW.failed_probes + case((was_probe(), 1), else_=0),
        **ended,
    }


def cool_down(database: Database, cooldown: Cooldown) -> Executable:
    """
    Let the partner cool down at once: until the time the bank named, else by the ladder.

    A call that was under way can lengthen the cooldown only by a time that the bank named.
    """
    advice = bindparam("advice_seconds", type_=Float())
    failures = case(
        (ROW.failures + 1 > cooldown.threshold, ROW.failures + 1),
        else_=literal(cooldown.threshold, Integer()),
    )
    seconds = case((advice > 0, advice), else_=_seconds(failures, cooldown))
    later = and_(ROW.mode == PartnerMode.COOLING, ROW.resume_at > NowPlus(seconds))
    written: dict[str, object] = {
        "mode": PartnerMode.COOLING,
        "reason": bindparam("new_reason"),
        "updated_at": Now(),
        **AFTER_REST,
    }
    first = case((advice > 0, advice), else_=literal(cooldown.base.total_seconds(), Float()))
    return (
        database.insert(partners)
        .values(
            partner_id=bindparam("partner"),
            failures=cooldown.threshold,
            resume_at=NowPlus(first),
            **written,
        )
        .on_conflict_do_update(
            index_elements=["partner_id"],
            set_={
                "failures": case((_counts(), failures), else_=ROW.failures),
                "resume_at": case((later, ROW.resume_at), else_=NowPlus(seconds)),
                **written,
            },
            where=or_(_counts(), and_(ROW.mode == PartnerMode.COOLING, advice > 0)),
        )
    )


def _at_least_advice(seconds: ColumnElement[float]) -> ColumnElement[float]:
    """Return the longer of our cooldown and the one that the bank asked for."""
    advice = bindparam("advice_seconds", type_=Float())
    return case((advice > seconds, advice), else_=seconds)


def _seconds(failures: ColumnElement[int], cooldown: Cooldown) -> ColumnElement[float]:
    """Return the seconds of the next cooldown: doubling from base to cap, as a ladder."""
    base, cap = cooldown.base.total_seconds(), cooldown.cap.total_seconds()
    steps = math.ceil(math.log2(cap / base))
    rungs = [
        (failures == cooldown.threshold + step, literal(base * 2.0**step)) for step in range(steps)
    ]
    return case(*rungs, else_=literal(cap)) if rungs else literal(cap)

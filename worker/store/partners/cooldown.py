"""When a partner cools down, and for how long: failures in a row, a rate limit, a gateway."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from worker.store.engine.elements import Now, NowPlus, one_more
from worker.store.partners.conditions import probe_ended, was_probe
from worker.store.partners.gate import FIRST_PACE
from worker.store.schema.tables import partners

ROW = partners.c

_ADVICE = bindparam("advice_seconds", type_=Float())
"""The seconds that the bank named; 0 if it named none."""
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
    """
    When a partner cools down: after so many failures in a row; doubling up to a cap.

    While a gateway turns every call away, its rests double further, up to `gateway_cap`.
    """

    threshold: int = 5
    base: timedelta = timedelta(seconds=5)
    cap: timedelta = timedelta(seconds=300)
    gateway_cap: timedelta = timedelta(minutes=15)


def count_failure(database: Database, cooldown: Cooldown) -> Executable:
    """
    Count a failure; the one that reaches the threshold lets the partner cool down.

    Failures of calls that were under way when the cooldown began do not lengthen it, however
    late they come: while it lasts, no call can begin. A time that the bank named is waited for
    by the job that heard it.
    """
    return (
        database.insert(partners)
        .values(partner_id=bindparam("partner"), updated_at=Now(), **_first_failure(cooldown))
        .on_conflict_do_update(
            index_elements=["partner_id"],
            set_=_after_failure(one_more(ROW.failures), cooldown),
            where=_counts(),
        )
    )


def _first_failure(cooldown: Cooldown) -> dict[str, object]:
    """Return what is written if the partner has no row, and so has never rested."""
    if cooldown.threshold > 1:
        return {"failures": 1}
    return {
        "failures": 1,
        "mode": PartnerMode.COOLING,
        "reason": bindparam("new_reason"),
        "resume_at": NowPlus(literal(cooldown.base.total_seconds(), Float())),
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
        "resume_at": case((cools, NowPlus(_seconds(failures, cooldown))), else_=None),
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
    return _rest_at_once(
        database, cooldown, lambda seconds: case((_ADVICE > 0, _ADVICE), else_=seconds)
    )


def rest_behind_a_gateway(database: Database, cooldown: Cooldown) -> Executable:
    """
    Let the partner rest at once, because a gateway turned a call away; then one call probes.

    By a ladder of its own, and never shorter than the time that the gateway named: what it puts
    up lasts for hours, and each probe shows it a request that it does not want.
    """
    longer = replace(cooldown, cap=max(cooldown.gateway_cap, cooldown.base))
    return _rest_at_once(
        database, longer, lambda seconds: case((seconds < _ADVICE, _ADVICE), else_=seconds)
    )


def _rest_at_once(
    database: Database,
    cooldown: Cooldown,
    lasts: Callable[[ColumnElement[float]], ColumnElement[float]],
) -> Executable:
    """Return what begins a rest; `lasts` makes its seconds from those of the ladder."""
    failures = case(
        (ROW.failures >= cooldown.threshold, one_more(ROW.failures)),
        else_=literal(cooldown.threshold, Integer()),
    )
    seconds = lasts(_seconds(failures, cooldown))
    later = and_(ROW.mode == PartnerMode.COOLING, ROW.resume_at > NowPlus(seconds))
    written: dict[str, object] = {
        "mode": PartnerMode.COOLING,
        "reason": bindparam("new_reason"),
        "updated_at": Now(),
        **AFTER_REST,
    }
    first = lasts(literal(cooldown.base.total_seconds(), Float()))
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
            where=or_(_counts(), and_(ROW.mode == PartnerMode.COOLING, _ADVICE > 0)),
        )
    )


def _seconds(failures: ColumnElement[int], cooldown: Cooldown) -> ColumnElement[float]:
    """Return the seconds of the next cooldown: doubling from base to cap, as a ladder."""
    base, cap = cooldown.base.total_seconds(), cooldown.cap.total_seconds()
    steps = math.ceil(math.log2(cap / base))
    rungs = [
        (failures == cooldown.threshold + step, literal(base * 2.0**step)) for step in range(steps)
    ]
    return case(*rungs, else_=literal(cap)) if rungs else literal(cap)

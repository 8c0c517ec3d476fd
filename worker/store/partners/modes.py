"""Whether a partner takes calls now: one row that every worker, and the claim, reads."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Float,
    Update,
    and_,
    bindparam,
    case,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from worker.domain.claims import Claim, Evidence
from worker.domain.decision import Decision
from worker.domain.partners import PartnerMode
from worker.store.engine.database import AnyRow, Database, rows_of, storable
from worker.store.engine.elements import After, Now
from worker.store.partners.conditions import RENEWED_AFTER
from worker.store.partners.cooldown import NO_PROBE, RESTING, Cooldown, strain, throttle
from worker.store.schema.tables import partners

ROW = partners.c
LONGEST_REASON = 2000
UNCONFIGURED = "no credentials are configured for this partner"


class PartnerModes:
    """The statements about a partner: pause, resume, cool down, calm down."""

    def __init__(self, database: Database, rest: Cooldown) -> None:
        self._database = database
        self._pause = _pause(database)
        self._strain = strain(database, rest)
        self._throttle = throttle(database, rest)
        this = ROW.partner_id == bindparam("partner")
        mine = ROW.probe_id == bindparam("lease_id")
        self._prove = _prove(this, mine)
        self._release = _release(this, mine)
        self._resume = _resume(this, ROW.mode != PartnerMode.ACTIVE)
        self._resume_changed = _resume(
            this, ROW.mode == PartnerMode.PAUSED, ROW.credentials != bindparam("new_credentials")
        )
        self._list = select(partners).order_by(ROW.partner_id)
        self._one = select(partners).where(this)

    def note(
        self, connection: Connection, claim: Claim, decision: Decision, evidence: Evidence
    ) -> None:
        """Let the partner feel a conversation, inside the transaction that settles it."""
        params: dict[str, Any] = {
            **self._database.times,
            "partner": claim.request.partner_id,
            "lease_id": claim.lease_id,
            "started_at": claim.started_at,
            "new_reason": storable(decision.pause or decision.reason, LONGEST_REASON),
            "advice_seconds": decision.advice.total_seconds() if decision.advice else 0.0,
            "has_answer": evidence.answer is not None,
            "new_credentials": evidence.credentials,
        }
        rows_of(connection, self._felt(decision), params)

    def is_moved(self, claim: Claim, decision: Decision) -> bool:
        """Say whether a conversation has anything to tell its partner's row."""
        return not (claim.calm and self._felt(decision) is self._prove)

    def _felt(self, decision: Decision) -> Any:
        if decision.pause is not None:
            return self._pause
        if decision.throttled:
            return self._throttle
        if decision.strain:
            return self._strain
        return self._prove if decision.proves else self._release

    def pause(self, connection: Connection, partner_id: str, reason: str) -> bool:
        """
        Pause a partner for an operator, who alone ends this pause.

        False where it was paused already, whose reason then stays.
        """
        params = {
            **self._database.times,
            "partner": partner_id,
            "new_reason": storable(reason, LONGEST_REASON),
            "new_credentials": None,
        }
        return bool(rows_of(connection, self._pause, params))

    def resume(self, connection: Connection, partner_id: str) -> bool:
        """Let a partner take calls again; False where it does already."""
        params = {**self._database.times, "partner": partner_id}
        return bool(rows_of(connection, self._resume, params))

    def resume_changed(self, credentials: Mapping[str, str]) -> list[str]:
        """
        Resume the partners that a worker paused under other credentials than these.

        `credentials` holds fingerprints by partner. Returns the partners that were resumed.
        To be called when they changed, and not again and again: two workers with different
        secrets would undo each other's pauses.
        """
        with self._database.writing() as connection:
            times = self._database.times
            return [
                name
                for name, new in sorted(credentials.items())
                if rows_of(
                    connection,
                    self._resume_changed,
                    {**times, "partner": name, "new_credentials": new},
                )
            ]

    def one(self, connection: Connection, partner_id: str) -> dict[str, Any] | None:
        """Return a partner's row, None where it has none: it is active then."""
        rows = rows_of(connection, self._one, {"partner": partner_id})
        return rows[0]._asdict() if rows else None

    def all(self) -> list[AnyRow]:
        """Return every partner that has ever rested."""
        return self._database.read(self._list)


_AWAKE: dict[str, Any] = {
    "mode": PartnerMode.ACTIVE,
    "failures": 0,
    "reason": None,
    "resume_at": None,
    "credentials": None,
    **NO_PROBE,
}


def _resume(*where: ColumnElement[bool]) -> ReturningUpdate[Any]:
    """Let a partner take calls again; it must prove itself anew."""
    return (
        update(partners)
        .where(*where)
        .values(**_AWAKE, proven_at=None, updated_at=Now())
        .returning(ROW.partner_id)
    )


def _prove(this: ColumnElement[bool], mine: ColumnElement[bool]) -> Update:
    """
    Note a good answer: the first call's, or one that renews a proof that grows old.

    Others say nothing: they may have begun before the rest, or under other credentials.
    """
    stale = or_(ROW.failures > 0, ROW.proven_at < After(literal(-RENEWED_AFTER, Float())))
    renews = and_(ROW.mode == PartnerMode.ACTIVE, ROW.proven_at.is_not(None), stale)
    kept = {name: value for name, value in _AWAKE.items() if name not in NO_PROBE}
    return (
        update(partners)
        .where(this, ROW.mode != PartnerMode.PAUSED, or_(mine, renews))
        .values(
            **kept,
            proven_at=Now(),
            probe_id=case((mine, None), else_=ROW.probe_id),
            probe_ends_at=case((mine, None), else_=ROW.probe_ends_at),
            updated_at=case((ROW.mode == PartnerMode.ACTIVE, ROW.updated_at), else_=Now()),
        )
    )


def _release(this: ColumnElement[bool], mine: ColumnElement[bool]) -> Update:
    """End a first call that proved nothing; an answer of any kind ends a run of failures."""
    answers = bindparam("has_answer", type_=Boolean())
    calms = and_(answers, ROW.mode == PartnerMode.ACTIVE, ROW.failures > 0)
    return (
        update(partners)
        .where(this, or_(mine, calms))
        .values(
            failures=case((calms, 0), else_=ROW.failures),
            probe_id=case((mine, None), else_=ROW.probe_id),
            probe_ends_at=case((mine, None), else_=ROW.probe_ends_at),
        )
    )


def _pause(database: Database) -> Any:
    paused: dict[str, Any] = {
        "mode": PartnerMode.PAUSED,
        "reason": bindparam("new_reason"),
        "credentials": bindparam("new_credentials"),
        "resume_at": None,
        "updated_at": Now(),
        **RESTING,
    }
    return (
        database.insert(partners)
        .values(partner_id=bindparam("partner"), failures=0, **paused)
        .on_conflict_do_update(
            index_elements=["partner_id"], set_=paused, where=ROW.mode != PartnerMode.PAUSED
        )
        .returning(ROW.partner_id)
    )

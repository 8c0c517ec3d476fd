"""A partner's mode: one row that every worker and every claim reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Executable,
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
from worker.store.engine.elements import Bytewise, Now, NowPlus
from worker.store.partners.conditions import RENEWED_AFTER, probe_ended, was_probe
from worker.store.partners.cooldown import (
    AFTER_REST,
    NO_PROBE,
    Cooldown,
    cool_down,
    count_failure,
    rest_behind_a_gateway,
)
from worker.store.schema.tables import partners

ROW = partners.c
LONGEST_REASON = 2000
UNCONFIGURED = "no credentials are configured for this partner"


@dataclass(frozen=True, slots=True)
class Rest:
    """A partner's rest: why, until when, and whether it is over: then a first call may begin."""

    resume_at: datetime
    reason: str | None
    failures: int
    is_over: bool


class PartnerModes:
    """The statements that change a partner's mode, and what a conversation says about it."""

    def __init__(self, database: Database, cooldown: Cooldown) -> None:
        self._database = database
        self._pause = _pause(database)
        self._count_failure = count_failure(database, cooldown)
        self._cool_down = cool_down(database, cooldown)
        self._rest_behind_a_gateway = rest_behind_a_gateway(database, cooldown)
        this = ROW.partner_id == bindparam("partner")
        self._prove = _prove(this)
        self._release = _release(this)
        self._resume = _resume(this, ROW.mode != PartnerMode.ACTIVE)
        self._resume_changed = _resume(
            this, ROW.mode == PartnerMode.PAUSED, ROW.credentials != bindparam("new_credentials")
        )
        self._list = select(partners).order_by(Bytewise(ROW.partner_id))
        self._one = select(partners).where(this)
        self._rests = select(
            ROW.partner_id, ROW.reason, ROW.resume_at, ROW.failures, Now().label("now")
        ).where(ROW.mode == PartnerMode.COOLING)

    def record(
        self, connection: Connection, claim: Claim, decision: Decision, evidence: Evidence
    ) -> None:
        """Write what a conversation says about its partner, in the transaction that settles it."""
        params: dict[str, object] = {
            **self._database.times,
            "partner": claim.request.partner_id,
            "lease_id": claim.lease_id,
            "started_at": claim.started_at,
            "new_reason": storable(decision.pause_reason or decision.reason, LONGEST_REASON),
            "advice_seconds": decision.retry_after.total_seconds() if decision.retry_after else 0.0,
            "has_answer": evidence.answer is not None,
            "new_credentials": evidence.credentials,
        }
        rows_of(connection, self._statement(decision), params)

    def changes(self, claim: Claim, decision: Decision) -> bool:
        """Say whether a conversation may change its partner's row."""
        return not (claim.partner_is_healthy and self._statement(decision) is self._prove)

    def _statement(self, decision: Decision) -> Executable:
        if decision.pause_reason is not None:
            return self._pause
        if decision.throttled:
            return self._cool_down
        if decision.turned_away:
            return self._rest_behind_a_gateway
        if decision.bank_failed:
            return self._count_failure
        return self._prove if decision.proves_partner else self._release

    def pause(self, connection: Connection, partner_id: str, reason: str) -> bool:
        """
        Pause a partner for an operator; only an operator can end this pause.

        Return False if it was paused already; then its reason stays.
        """
        params = {
            **self._database.times,
            "partner": partner_id,
            "new_reason": storable(reason, LONGEST_REASON),
            "new_credentials": None,
        }
        return bool(rows_of(connection, self._pause, params))

    def resume(self, connection: Connection, partner_id: str) -> bool:
        """Let a partner take calls again; return False if it does already."""
        params = {**self._database.times, "partner": partner_id}
        return bool(rows_of(connection, self._resume, params))

    def resume_changed(self, credentials: Mapping[str, str]) -> list[str]:
        """
        Resume the partners that a worker paused under other credentials than these.

        `credentials` holds fingerprints by partner. Return the partners that were resumed.
        Call it only when credentials changed: two workers with different secrets would undo
        each other's pauses.
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
        """Return a partner's row; None if it has none, and so is active."""
        rows = rows_of(connection, self._one, {"partner": partner_id})
        return rows[0]._asdict() if rows else None

    def rests(self) -> dict[str, Rest]:
        """Return the last rest of each partner that has not proved itself since."""
        return {
            row.partner_id: Rest(
                resume_at=row.resume_at,
                reason=row.reason,
                failures=row.failures,
                is_over=row.resume_at <= row.now,
            )
            for row in self._database.read(self._rests)
        }

    def all(self) -> list[AnyRow]:
        """Return every partner that has ever rested."""
        return self._database.read(self._list)


_ACTIVE: dict[str, object] = {
    "mode": PartnerMode.ACTIVE,
    "failures": 0,
    "reason": None,
    "resume_at": None,
    "credentials": None,
    "failed_probes": 0,
    **NO_PROBE,
}


def _resume(*where: ColumnElement[bool]) -> ReturningUpdate[Any]:
    """Return what lets a partner take calls again; it must prove itself again."""
    was_paused = ROW.mode == PartnerMode.PAUSED
    return (
        update(partners)
        .where(*where)
        .values(
            **_ACTIVE,
            proven_at=None,
            updated_at=Now(),
            resumed_at=case((was_paused, Now()), else_=ROW.resumed_at),
        )
        .returning(ROW.partner_id)
    )


def _prove(this: ColumnElement[bool]) -> Update:
    """
    Return what records a good answer of the first call, or one that renews an old proof.

    Other answers prove nothing: their calls may have begun before the rest, or under other
    credentials.
    """
    is_old = or_(ROW.failures > 0, ROW.proven_at < NowPlus(literal(-RENEWED_AFTER, Float())))
    renews = and_(ROW.mode == PartnerMode.ACTIVE, ROW.proven_at.is_not(None), is_old)
    kept = {name: value for name, value in _ACTIVE.items() if name not in NO_PROBE}
    return (
        update(partners)
        .where(this, ROW.mode != PartnerMode.PAUSED, or_(was_probe(), renews))
        .values(
            **kept,
            **probe_ended(),
            proven_at=Now(),
            updated_at=case((ROW.mode == PartnerMode.ACTIVE, ROW.updated_at), else_=Now()),
        )
    )


def _release(this: ColumnElement[bool]) -> Update:
    """Return what ends a first call that proved nothing; any answer ends a run of failures."""
    has_answer = bindparam("has_answer", type_=Boolean())
    ends_run = and_(has_answer, ROW.mode == PartnerMode.ACTIVE, ROW.failures > 0)
    return (
        update(partners)
        .where(this, or_(was_probe(), ends_run))
        .values(
            failures=case((ends_run, 0), else_=ROW.failures),
            failed_probes=ROW.failed_probes + case((was_probe(), 1), else_=0),
            **probe_ended(),
        )
    )


def _pause(database: Database) -> Executable:
    paused: dict[str, object] = {
        "mode": PartnerMode.PAUSED,
        "reason": bindparam("new_reason"),
        "credentials": bindparam("new_credentials"),
        "resume_at": None,
        "updated_at": Now(),
        **AFTER_REST,
    }
    return (
        database.insert(partners)
        .values(partner_id=bindparam("partner"), failures=0, **paused)
        .on_conflict_do_update(
            index_elements=["partner_id"], set_=paused, where=ROW.mode != PartnerMode.PAUSED
        )
        .returning(ROW.partner_id)
    )

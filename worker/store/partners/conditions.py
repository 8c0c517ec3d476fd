"""Conditions on a partner's row, which the statements share."""

from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Float,
    String,
    and_,
    bindparam,
    case,
    literal,
    literal_column,
    or_,
    select,
)

from worker.domain.gate import PROOF_LASTS
from worker.domain.partners import PartnerMode
from worker.store.engine.elements import Now, NowPlus
from worker.store.schema.tables import JOBS, cancel_jobs, partners

ROW = partners.c

RENEWED_AFTER = 10.0
"""Seconds after which a good answer renews the proof; it does not with every job."""


def rests() -> ColumnElement[bool]:
    """Return the condition under which a partner's row says that it takes no calls now."""
    cooling = and_(ROW.mode == PartnerMode.COOLING, ROW.resume_at > Now())
    return or_(ROW.mode == PartnerMode.PAUSED, cooling)


def proven() -> ColumnElement[bool]:
    """Return the condition, never NULL, of `domain.gate.is_proven`; a test compares the two."""
    lately = and_(
        ROW.proven_at > NowPlus(literal(-PROOF_LASTS.total_seconds(), Float())),
        # A proof in the future does not count: the clock was set back since.
        ROW.proven_at < NowPlus(literal(PROOF_LASTS.total_seconds(), Float())),
    )
    return and_(ROW.mode == PartnerMode.ACTIVE, ROW.proven_at.is_not(None), lately)


def probing() -> ColumnElement[bool]:
    """Return the condition, never NULL, of `domain.gate.is_probing`; a test compares the two."""
    second = and_(ROW.second_probe_id.is_not(None), ROW.second_probe_ends_at > Now())
    # Two may be under way once one has proved nothing.
    return or_(
        and_(ROW.failed_probes == 0, or_(first_call_runs(), second)),
        and_(first_call_runs(), second),
    )


def first_call_runs() -> ColumnElement[bool]:
    """Return the condition, never NULL, under which the first of two first calls is under way."""
    return and_(ROW.probe_id.is_not(None), ROW.probe_ends_at > Now())


def was_probe() -> ColumnElement[bool]:
    """Return the condition, never NULL, under which the call of this lease went first."""
    lease_id = bindparam("lease_id", type_=String())
    return or_(
        and_(ROW.probe_id.is_not(None), ROW.probe_id == lease_id),
        and_(ROW.second_probe_id.is_not(None), ROW.second_probe_id == lease_id),
    )


def probe_ended() -> dict[str, object]:
    """Return what is written when the call of this lease has ended: its place is free."""
    lease_id = bindparam("lease_id", type_=String())
    return {
        name: case((ROW[of] == lease_id, None), else_=ROW[name])
        for of in ("probe_id", "second_probe_id")
        for name in (of, of.replace("_id", "_ends_at"))
    }


def partner_rests() -> ColumnElement[bool]:
    """Return the condition under which the job's partner takes no calls now."""
    its_partner = select(ROW.partner_id).where(ROW.partner_id == JOBS.partner_id)
    return its_partner.where(rests()).correlate(cancel_jobs).exists()


def is_open(partner_id: ColumnElement[str] | None = None) -> ColumnElement[bool]:
    """
    Return the condition under which a partner is bounded by its own settings only.

    It is the job's partner, or the one that is named.
    """
    return _its_partner(proven(), ROW.pace.is_(None), named=partner_id)


def is_healthy() -> ColumnElement[bool]:
    """Return the condition, never NULL, under which a good answer changes nothing: `_prove`."""
    young = ROW.proven_at > NowPlus(literal(-RENEWED_AFTER, Float()))
    return _its_partner(ROW.mode == PartnerMode.ACTIVE, ROW.failures == 0, young)


def resumed_at() -> ColumnElement[datetime]:
    """Return when the last pause of a job's partner ended; NULL if it was never paused."""
    job: ColumnElement[str] = literal_column(str(JOBS.partner_id))
    return select(ROW.resumed_at).where(ROW.partner_id == job).scalar_subquery()


def _its_partner(
    *where: ColumnElement[bool], named: ColumnElement[str] | None = None
) -> ColumnElement[bool]:
    """
    Return the condition under which the row of a job's partner, or of one, meets conditions.

    The job's column is given as text: in a RETURNING for SQLite the library leaves out the
    table of each column, and `partner_id = partner_id` is true for every partner.
    """
    job: ColumnElement[str] = literal_column(str(JOBS.partner_id)) if named is None else named
    return select(ROW.partner_id).where(ROW.partner_id == job, *where).exists()

"""Whether a partner takes calls now, as one condition that every statement shares."""

from sqlalchemy import ColumnElement, and_, or_, select

from worker.domain.partners import PartnerMode
from worker.store.engine.elements import Now
from worker.store.schema.tables import JOBS, cancel_jobs, partners


def rests() -> ColumnElement[bool]:
    """Return the condition under which a partner's row says that it takes no calls now."""
    cooling = and_(partners.c.mode == PartnerMode.COOLING, partners.c.resume_at > Now())
    return or_(partners.c.mode == PartnerMode.PAUSED, cooling)


def partner_rests() -> ColumnElement[bool]:
    """Return the condition under which the job's partner takes no calls now."""
    its_partner = select(partners.c.partner_id).where(partners.c.partner_id == JOBS.partner_id)
    return its_partner.where(rests()).correlate(cancel_jobs).exists()

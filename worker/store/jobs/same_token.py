"""Whether another job names the same token: one of the two orders may be wrong."""

from sqlalchemy import ColumnElement, FromClause, select

from worker.store.schema.tables import cancel_jobs

_OTHER = cancel_jobs.alias("other")
OTHER = _OTHER.c
"""The columns of the other job."""


def is_other_of(job: FromClause) -> tuple[ColumnElement[bool], ...]:
    """
    Return the conditions under which another job names the token of this one.

    Of jobs that an operator reissued only the last one counts: they name one token on purpose.
    """
    return (
        OTHER.token_id == job.c.token_id,
        OTHER.partner_id == job.c.partner_id,
        OTHER.partner_txn_uid != job.c.partner_txn_uid,
        OTHER.continued_by.is_(None),
    )


def names_the_token_of(job: FromClause) -> ColumnElement[bool]:
    """Return the condition, one look into an index, under which there is such a job."""
    others = select(OTHER.partner_txn_uid).select_from(_OTHER).where(*is_other_of(job))
    return others.correlate(job).exists()

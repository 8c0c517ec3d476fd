"""Batches of jobs: bounded, and without the rows that another copy of the sweep has locked."""

from sqlalchemy import ColumnElement, Select, select

from worker.store.engine.elements import InQuery
from worker.store.schema.tables import JOBS


def a_batch(*where: ColumnElement[bool]) -> Select[tuple[str]]:
    """Select the uids of some jobs; skip rows that another copy has locked."""
    return select(JOBS.partner_txn_uid).where(*where).with_for_update(skip_locked=True)


def in_batch(batch: Select[tuple[str]]) -> ColumnElement[bool]:
    """
    Return the condition of being in a batch.

    A CTE that locks rows is run once; a subquery may be run once for each row, and its limit
    then bounds nothing. As a list its rows are looked up by their key; with a join PostgreSQL
    may read every waiting job (measured).
    """
    return InQuery(JOBS.partner_txn_uid, select(batch.cte("batch").c.partner_txn_uid))

"""What settles a claim, as one statement: the move, its attempt row, its token statuses."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Select,
    Table,
    bindparam,
    column,
    func,
    insert,
    select,
    type_coerce,
)

from worker.store.engine.elements import Now
from worker.store.jobs.attempts import KEPT
from worker.store.schema.tables import cancel_attempts, token_statuses

TOLD = ("position", "token_id", "reference1", "status")


def in_one(moving: Any) -> Select[Any]:
    """
    Return a guarded move with what is written beside it, for PostgreSQL.

    It takes the parameters of the move and of `attempts.KEPT`, and as `entries` those of a
    tokenList. It returns the uid; nothing at all is written where the move has found no job.
    """
    moved = moving.cte("moved")
    kept = insert(cancel_attempts).from_select(list(KEPT), _typed(cancel_attempts, KEPT, moved))
    columns = (column(name, token_statuses.c[name].type) for name in TOLD)
    listed = (
        # One text costs a driver less than four lists.
        func.json_to_recordset(bindparam("entries", type_=JSON()))
        .table_valued(*columns)
        .render_derived(with_types=True)
    )
    entry = {
        "partner_txn_uid": bindparam("uid"),
        "number": bindparam("number"),
        **{name: listed.c[name] for name in TOLD},
        "observed_at": Now(),
    }
    told = insert(token_statuses).from_select(
        list(entry), _typed(token_statuses, entry, moved, listed)
    )
    return select(moved.c.partner_txn_uid).add_cte(kept.cte("kept"), told.cte("told"))


def _typed(table: Table, values: Mapping[str, ColumnElement[Any]], *of: Any) -> Select[Any]:
    """Return the values as a row of the table; PostgreSQL takes an untyped parameter for text."""
    columns = (type_coerce(value, table.c[name].type) for name, value in values.items())
    return select(*columns).select_from(*of)

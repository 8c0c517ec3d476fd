"""What settles a claim, as one statement: the move, its attempt row, its token statuses."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Table,
    bindparam,
    func,
    insert,
    select,
    type_coerce,
)

from worker.models import cancel_attempts, token_statuses
from worker.store.attempts import KEPT
from worker.store.database import Now

TOLD = ("position", "token_id", "reference1", "status")


def in_one(moving: Any) -> Select[Any]:
    """
    Return a guarded move with what is written beside it, for PostgreSQL.

    It takes the parameters of the move and of `attempts.KEPT`, and lists for the entries of a
    tokenList. It returns the uid; nothing at all is written where the move has found no job.
    """
    moved = moving.cte("moved")
    kept = insert(cancel_attempts).from_select(list(KEPT), _typed(cancel_attempts, KEPT, moved))
    lists = (
        func.unnest(
            *(bindparam(f"{name}s", type_=ARRAY(token_statuses.c[name].type)) for name in TOLD)
        )
        .table_valued(*TOLD)
        .render_derived()
    )
    entry = {
        "partner_txn_uid": bindparam("uid"),
        "number": bindparam("conversation"),
        **{name: lists.c[name] for name in TOLD},
        "observed_at": Now(),
    }
    told = insert(token_statuses).from_select(
        list(entry), _typed(token_statuses, entry, moved, lists)
    )
    return select(moved.c.partner_txn_uid).add_cte(kept.cte("kept"), told.cte("told"))


def _typed(table: Table, values: Mapping[str, ColumnElement[Any]], *of: Any) -> Select[Any]:
    """Return the values as a row of the table; PostgreSQL takes an untyped parameter for text."""
    columns = (type_coerce(value, table.c[name].type) for name, value in values.items())
    return select(*columns).select_from(*of)


def lists_of(entries: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the entries of a tokenList as the lists that `in_one` takes."""
    return {f"{name}s": [entry[name] for entry in entries] for name in TOLD}

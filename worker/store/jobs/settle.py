"""What settles a claim: the move of the job, its attempt row, its token statuses."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    String,
    Table,
    bindparam,
    case,
    column,
    func,
    insert,
    select,
    true,
    type_coerce,
)
from sqlalchemy.sql.dml import ReturningUpdate

from worker.domain.states import Event, State
from worker.store.engine.elements import Now
from worker.store.jobs.attempts import ATTEMPT_ROW, TOKEN_COLUMNS
from worker.store.jobs.next_claim import next_statement
from worker.store.jobs.transitions import EVENT_COLUMNS, move
from worker.store.schema.tables import JOBS, cancel_attempts, token_statuses


@cache
def settle_statement(event: Event, source: State) -> ReturningUpdate[Any]:
    """Return the move that ends a claim: `in_flight` under its lease, or late, `in_doubt`."""
    statement = move(event, only_from=frozenset({source})).where(
        JOBS.partner_txn_uid == bindparam("uid")
    )
    if source is State.IN_FLIGHT:
        statement = statement.where(still_held())
    return statement.values(
        # What the bank said last about the token outlives later silence.
        token_status=func.coalesce(bindparam("token_status", type_=String()), JOBS.token_status),
        status_code=bindparam("status_code"),
        error_code=bindparam("error_code"),
        error_desc=bindparam("error_desc"),
        attempts=case(
            (JOBS.attempts > 0, JOBS.attempts - bindparam("unspent", type_=Integer())), else_=0
        ),
        uncounted=JOBS.uncounted + bindparam("unspent", type_=Integer()),
        still_payable_at=case(
            (bindparam("is_payable", type_=Boolean()), Now()), else_=JOBS.still_payable_at
        ),
    ).returning(*EVENT_COLUMNS)


def still_held() -> ColumnElement[bool]:
    """Return the fence: the job is in flight under this lease. No index serves it, as in `move`."""
    return func.coalesce(JOBS.lease_id, "") == bindparam("this_lease_id")


def with_evidence(
    moving: ReturningUpdate[Any], *, claims_next: bool = False, is_told: bool = False
) -> Select[Any]:
    """
    Return one statement that moves a job and writes its evidence, for PostgreSQL.

    It takes the parameters of the move and of `ATTEMPT_ROW`, and as `entries` those of a
    tokenList. With `claims_next` it also claims the next job of a run, and returns the columns of
    `next_statement` beside the uid; with `is_told` it returns `EVENT_COLUMNS`. If the move finds
    no job, nothing is written or claimed.
    """
    moved = moving.cte("moved")
    kept = insert(cancel_attempts).from_select(
        list(ATTEMPT_ROW), _typed(cancel_attempts, ATTEMPT_ROW, moved)
    )
    columns = (column(name, token_statuses.c[name].type) for name in TOKEN_COLUMNS)
    listed = (
        # One text costs a driver less than four lists.
        func.json_to_recordset(bindparam("entries", type_=JSON()))
        .table_valued(*columns)
        .render_derived(with_types=True)
    )
    entry = {
        "partner_txn_uid": bindparam("uid"),
        "number": bindparam("number"),
        **{name: listed.c[name] for name in TOKEN_COLUMNS},
        "observed_at": Now(),
    }
    tokens = insert(token_statuses).from_select(
        list(entry), _typed(token_statuses, entry, moved, listed)
    )
    settled = select(*moved.c) if is_told else select(moved.c.partner_txn_uid.label("settled"))
    if claims_next:
        found = select(moved.c.partner_txn_uid).exists()
        following = next_statement(only_if=found).cte("following")
        settled = settled.add_columns(*following.c).outerjoin_from(moved, following, true())
    return settled.add_cte(kept.cte("kept"), tokens.cte("told"))


def _typed(
    table: Table, values: Mapping[str, ColumnElement[Any]], *sources: FromClause
) -> Select[Any]:
    """Return the values as a row of the table; PostgreSQL takes an untyped parameter for text."""
    columns = (type_coerce(value, table.c[name].type) for name, value in values.items())
    return select(*columns).select_from(*sources)

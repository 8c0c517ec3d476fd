"""The acceptance of an order: its result, and its statements."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CompoundSelect,
    Executable,
    Select,
    String,
    bindparam,
    case,
    cast,
    column,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.dml import ReturningInsert

from worker.domain.states import Outcome, State
from worker.store.engine.database import AnyRow, Database
from worker.store.engine.elements import Now
from worker.store.engine.prepared import Prepared
from worker.store.jobs.lookup import is_same, lookup, state_of
from worker.store.schema.tables import JOBS, cancel_jobs


class Status(StrEnum):
    """The result of an acceptance."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The result of `accept`, with the state and outcome of the job under the uid."""

    status: Status
    state: State
    outcome: Outcome | None


LONGEST_WAIT = "500ms"
"""
How long a worker waits for a transaction that stores the same uid, as PostgreSQL's setting.

A producer may keep such a transaction open for ever. Were it waited for as for other locks, some
messages with such uids would hold all threads of a worker.
"""
NEW = Acceptance(Status.ACCEPTED, State.PENDING, None)


class AcceptStatement:
    """Stores an order, or reads what its uid stands for; one round trip to PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._insert, self._look_up = (Prepared(database, step) for step in accept_steps(database))

    def __call__(self, order: Mapping[str, Any], *, hinted: bool) -> Acceptance:
        """Do as `Jobs.accept` promises, in a transaction of its own."""
        for row in self._insert(**order, hinted=hinted):
            if row.is_new:
                return NEW
            if row.partner_id is not None:
                return compare(row, order)
        # Another transaction stored it meanwhile; the first statement could not see that row.
        (stored,) = self._look_up(uid=order["uid"])
        return compare(stored, order)


def accept_steps(database: Database) -> list[Executable]:
    """
    Return the statements of one acceptance: the insert, and the lookup of a uid that exists.

    On PostgreSQL the first one is both; the second is sent only if another transaction stored
    the uid meanwhile.
    """
    insert, look_up = accept_statement(database, patient=False), lookup(bindparam("uid"))
    insert = insert.returning(true().label("is_new"))
    return [insert if database.is_sqlite else _with_lookup(insert, look_up), look_up]


def _with_lookup(insert: ReturningInsert[Any], look_up: CompoundSelect[Any]) -> Select[Any]:
    """Return both as one statement. Its row says that the uid is new, or what is stored."""
    new, stored = insert.cte("new"), look_up.subquery("stored")
    one = select(literal(1)).subquery("one")
    return select(new.c.is_new, stored).select_from(
        one.outerjoin(new, true()).outerjoin(stored, true())
    )


def compare(stored: AnyRow, order: Mapping[str, Any]) -> Acceptance:
    """Compare an order with the job, or the tombstone, that has its uid."""
    return Acceptance(
        Status.DUPLICATE if is_same(stored, order) else Status.CONFLICT,
        state_of(stored),
        Outcome(stored.outcome) if stored.outcome else None,
    )


_PARAMETERS = {
    "uid": JOBS.partner_txn_uid.type,
    "partner_id": JOBS.partner_id.type,
    "token_id": JOBS.token_id.type,
    "reference1": JOBS.reference1.type,
    "expires_at": JOBS.expires_at.type,
    "hinted": Boolean(),
}
"""What an order is stored from, with the types."""


def accept_statement(database: Database, *, patient: bool = True) -> ReturningInsert[Any]:
    """
    Return the insert of an order whose uid is new.

    A patient one waits for another transaction that stores the uid as its connection is set.
    """
    order = {name: bindparam(name, type_=kind) for name, kind in _PARAMETERS.items()}
    row, insert = _job_row(order), database.insert(cancel_jobs)
    if patient or database.is_sqlite:
        insert = insert.values(row)
    else:
        # Set as the row is made, so before it is inserted; it ends with the statement.
        wait = func.pg_catalog.set_config("lock_timeout", LONGEST_WAIT, true()).alias("wait")
        columns = (value.label(name) for name, value in row.items())
        insert = insert.from_select(list(row), select(*columns).select_from(wait))
    # An insert that did nothing returns no row; its rowcount says -1 (measured).
    return insert.on_conflict_do_nothing().returning(JOBS.partner_txn_uid)


def accept_many_statement(database: Database) -> ReturningInsert[Any]:
    """
    Return the insert of the new ones among `orders`, in their order, for PostgreSQL.

    They are sent as one text: with a thousand rows and a placeholder for each value, parsing
    the placeholders takes most of the time (docs/explanation/performance.md).
    """
    columns = (column(name, kind) for name, kind in _PARAMETERS.items())
    # As a text: how a document is made of a list is the caller's own, if the session is.
    listed = cast(bindparam("orders", type_=String()), JSON())
    orders = func.json_to_recordset(listed).table_valued(*columns)
    row = _job_row(orders.render_derived(with_types=True).c)
    insert = database.insert(cancel_jobs).from_select(list(row), select(*row.values()))
    return insert.on_conflict_do_nothing().returning(JOBS.partner_txn_uid)


def as_json(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order as `accept_many_statement` takes it in its list."""
    expiry = order["expires_at"]
    return {**order, "expires_at": None if expiry is None else expiry.isoformat()}


def _job_row(order: Mapping[str, Any] | ReadOnlyColumnCollection[str, Any]) -> dict[str, Any]:
    """Return the columns of a new job, from parameters or from columns of a list."""
    return {
        "partner_txn_uid": order["uid"],
        "partner_id": order["partner_id"],
        "token_id": order["token_id"],
        "reference1": order["reference1"],
        "expires_at": order["expires_at"],
        "created_at": Now(),
        "updated_at": Now(),
        "next_attempt_at": Now(),
        "hinted_at": case((order["hinted"], Now()), else_=None),
    }

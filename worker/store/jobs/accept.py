"""What becomes of an order at the door, and the statements that let it in."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Connection,
    Select,
    bindparam,
    case,
    column,
    func,
    literal,
    select,
    true,
)

from worker.domain.states import Outcome, State
from worker.store.engine.database import AnyRow, Database
from worker.store.engine.elements import Now
from worker.store.engine.prepared import Prepared
from worker.store.jobs.lookup import is_same, lookup, state_of
from worker.store.schema.tables import JOBS, cancel_jobs


class Status(StrEnum):
    """What became of an order at the door."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer of `accept`: what became of the order, and where its job stands."""

    status: Status
    state: State
    outcome: Outcome | None


NEW = Acceptance(Status.ACCEPTED, State.PENDING, None)


class AcceptStatement:
    """Lets an order in, or says what its uid stands for; one round trip to PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._insert, self._look = (Prepared(database, step) for step in accept_steps(database))

    def __call__(
        self, order: Mapping[str, Any], *, hinted: bool, connection: Connection | None
    ) -> Acceptance:
        """Do as `Jobs.accept` promises."""
        insert: Any = self._insert
        look: Any = self._look
        # Without the caller's transaction there is none: what is stored is never taken back.
        if connection is not None:
            insert, look = partial(insert.on, connection), partial(look.on, connection)
        for row in insert(**order, hinted=hinted):
            if row.is_new:
                return NEW
            if row.partner_id is not None:
                return compared(row, order)
        # Stored meanwhile, and not to be seen by the statement that met it.
        (stored,) = look(uid=order["uid"])
        return compared(stored, order)


def accept_steps(database: Database) -> list[Any]:
    """
    Return the statements of one acceptance: the insert, and the look at what stands in its way.

    On PostgreSQL the first one is both; the second is sent only when another transaction stored
    the uid meanwhile.
    """
    insert, look = accept_statement(database), lookup(bindparam("uid"))
    insert = insert.returning(true().label("is_new"))
    return [insert if database.is_sqlite else _with_look(insert, look), look]


def _with_look(insert: Any, look: Any) -> Select[Any]:
    """Return both as one statement, whose row says that the uid is new, or what is known of it."""
    new, stored = insert.cte("new"), look.subquery("stored")
    one = select(literal(1)).subquery("one")
    return select(new.c.is_new, stored).select_from(
        one.outerjoin(new, true()).outerjoin(stored, true())
    )


def compared(stored: AnyRow, order: Mapping[str, Any]) -> Acceptance:
    """Say what an order is beside the job, or the tombstone, that has its uid."""
    return Acceptance(
        Status.DUPLICATE if is_same(stored, order) else Status.CONFLICT,
        state_of(stored),
        Outcome(stored.outcome) if stored.outcome else None,
    )


_GIVEN = {
    "uid": JOBS.partner_txn_uid.type,
    "partner_id": JOBS.partner_id.type,
    "token_id": JOBS.token_id.type,
    "reference1": JOBS.reference1.type,
    "expires_at": JOBS.expires_at.type,
    "hinted": Boolean(),
}
"""What an order is stored from."""


def accept_statement(database: Database) -> Any:
    """Return the insert of an order whose uid is new; `hinted` as for `Jobs.accept`."""
    given = {name: bindparam(name, type_=kind) for name, kind in _GIVEN.items()}
    # An insert that did nothing returns no row; its rowcount says -1 (measured).
    insert = database.insert(cancel_jobs).values(_stored(given))
    return insert.on_conflict_do_nothing().returning(JOBS.partner_txn_uid)


def accept_many_statement(database: Database) -> Any:
    """
    Return the insert of the new ones among `orders`, in their order, for PostgreSQL.

    They come as one text: of a thousand rows with a placeholder for each word, reading the
    placeholders takes most of the time (docs/explanation/performance.md).
    """
    columns = (column(name, kind) for name, kind in _GIVEN.items())
    orders = func.json_to_recordset(bindparam("orders", type_=JSON())).table_valued(*columns)
    stored = _stored(orders.render_derived(with_types=True).c)
    insert = database.insert(cancel_jobs).from_select(list(stored), select(*stored.values()))
    return insert.on_conflict_do_nothing().returning(JOBS.partner_txn_uid)


def as_text(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order as `accept_many_statement` takes it in its list."""
    expiry = order["expires_at"]
    return {**order, "expires_at": None if expiry is None else expiry.isoformat()}


def _stored(given: Any) -> dict[str, Any]:
    return {
        "partner_txn_uid": given["uid"],
        "partner_id": given["partner_id"],
        "token_id": given["token_id"],
        "reference1": given["reference1"],
        "expires_at": given["expires_at"],
        "created_at": Now(),
        "updated_at": Now(),
        "next_attempt_at": Now(),
        "hinted_at": case((given["hinted"], Now()), else_=None),
    }

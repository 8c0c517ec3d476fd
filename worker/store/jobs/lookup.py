"""What is stored of a uid: its job, or the tombstone of a pruned job."""

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    FunctionElement,
    String,
    literal,
    select,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from worker.domain.states import OUTCOMES, Outcome, State
from worker.store.engine.database import AnyRow
from worker.store.schema.tables import JOBS, tombstones

TOMBSTONES = tombstones.c
STATE_OF: Mapping[Outcome, State] = {
    outcome: state for state, outcomes in OUTCOMES.items() for outcome in outcomes
}
"""The state that an outcome belongs to."""


def digest(token_id: str, reference1: str) -> str:
    """Return the fingerprint that a tombstone keeps of an order: 128 bits of SHA-256."""
    return hashlib.sha256(f"{token_id}\0{reference1}".encode()).hexdigest()[:32]


class Digest(FunctionElement[str]):
    """The fingerprint of an order, made by PostgreSQL: every session reads and compares it."""

    type = String()
    inherit_cache = True

    def __init__(self, token_id: ColumnElement[str], reference1: ColumnElement[str]) -> None:
        super().__init__(token_id, reference1)


@compiles(Digest, "postgresql")
def _digest(element: Digest, compiler: SQLCompiler, **kw: Any) -> str:
    token_id, reference1 = (
        f"pg_catalog.convert_to({compiler.process(part, **kw)}, 'UTF8')" for part in element.clauses
    )
    # No literal of bytes: how one is read depends on the session.
    whole = f"{token_id} || pg_catalog.decode('00', 'hex') || {reference1}"
    return f"left(pg_catalog.encode(pg_catalog.sha256({whole}), 'hex'), 32)"


def lookup(uids: BindParameter[Any], *, is_digested: bool = False) -> CompoundSelect[Any]:
    """
    Return the statement that looks up a uid, or many, among jobs and tombstones.

    One statement is one snapshot: a job that is being pruned is found as a job or as a
    tombstone, never as neither. With `is_digested`, on PostgreSQL, a job's digest is read in place
    of its token and reference, which may have any letters.
    """
    text = literal(None, String())
    digested = Digest(JOBS.token_id, JOBS.reference1)
    jobs = select(
        JOBS.partner_txn_uid,
        JOBS.partner_id,
        (text if is_digested else JOBS.token_id).label("token_id"),
        (text if is_digested else JOBS.reference1).label("reference1"),
        (digested if is_digested else text).label("digest"),
        JOBS.state,
        JOBS.outcome,
        JOBS.continued_by,
    )
    pruned = select(
        TOMBSTONES.partner_txn_uid,
        TOMBSTONES.partner_id,
        text.label("token_id"),
        text.label("reference1"),
        TOMBSTONES.digest,
        text.label("state"),
        TOMBSTONES.outcome,
        text.label("continued_by"),
    )
    return union_all(
        jobs.where(_is(JOBS.partner_txn_uid, uids)),
        pruned.where(_is(TOMBSTONES.partner_txn_uid, uids)),
    )


def _is(column: ColumnElement[str], uids: BindParameter[Any]) -> ColumnElement[bool]:
    return column.in_(uids) if uids.expanding else column == uids


def is_same(row: AnyRow, order: Mapping[str, Any]) -> bool:
    """Say whether a stored uid stands for this order: the same partner, token and reference."""
    if row.partner_id != order["partner_id"]:
        return False
    if row.digest is not None:
        return bool(row.digest == digest(order["token_id"], order["reference1"]))
    return bool(row.token_id == order["token_id"] and row.reference1 == order["reference1"])


def state_of(row: AnyRow) -> State:
    """Return the job's state, or its state when it was pruned."""
    return State(row.state) if row.state else STATE_OF[Outcome(row.outcome)]

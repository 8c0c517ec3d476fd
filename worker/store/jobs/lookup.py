"""What is stored of a uid: its job, or the tombstone of a pruned job."""

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    String,
    literal,
    select,
    union_all,
)

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


def lookup(uids: BindParameter[Any]) -> CompoundSelect[Any]:
    """
    Return the statement that looks up a uid, or many, among jobs and tombstones.

    One statement is one snapshot: a job that is being pruned is found as a job or as a
    tombstone, never as neither.
    """
    text = literal(None, String())
    jobs = select(
        JOBS.partner_txn_uid,
        JOBS.partner_id,
        JOBS.token_id,
        JOBS.reference1,
        text.label("digest"),
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

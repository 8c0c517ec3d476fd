"""What is known of a uid: its job, or the tombstone that was left when its job was pruned."""

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, String, literal, select, union_all

from worker.domain.states import OUTCOMES, Outcome, State
from worker.store.engine.database import AnyRow
from worker.store.schema.tables import JOBS, tombstones

LEFT = tombstones.c
STATE_OF: Mapping[Outcome, State] = {
    outcome: state for state, outcomes in OUTCOMES.items() for outcome in outcomes
}
"""The state that an outcome belongs to."""


def digest(token_id: str, reference1: str) -> str:
    """Return the fingerprint that a tombstone keeps of an order: 128 bits of SHA-256."""
    return hashlib.sha256(f"{token_id}\0{reference1}".encode()).hexdigest()[:32]


def lookup(uids: ColumnElement[Any]) -> Any:
    """
    Return the statement that looks for a uid, or for many, among jobs and tombstones.

    One statement, so one snapshot: while a job is pruned it is seen as the one or the other,
    never as neither.
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
    left = select(
        LEFT.partner_txn_uid,
        LEFT.partner_id,
        text.label("token_id"),
        text.label("reference1"),
        LEFT.digest,
        text.label("state"),
        LEFT.outcome,
        text.label("continued_by"),
    )
    return union_all(
        jobs.where(_is(JOBS.partner_txn_uid, uids)), left.where(_is(LEFT.partner_txn_uid, uids))
    )


def _is(column: ColumnElement[Any], uids: Any) -> ColumnElement[bool]:
    many = isinstance(uids, BindParameter) and uids.expanding
    return column.in_(uids) if many else column == uids


def is_same(row: AnyRow, order: Mapping[str, Any]) -> bool:
    """Say whether a known uid stands for this very order: partner, token and reference."""
    if row.partner_id != order["partner_id"]:
        return False
    if row.digest is not None:
        return bool(row.digest == digest(order["token_id"], order["reference1"]))
    return bool(row.token_id == order["token_id"] and row.reference1 == order["reference1"])


def state_of(row: AnyRow) -> State:
    """Return where the job stands, or stood when it was pruned."""
    return State(row.state) if row.state else STATE_OF[Outcome(row.outcome)]

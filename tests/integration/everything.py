"""Rows of every state and kind, as a system that has worked for long holds them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, MetaData, Table, insert, select, update

from tests.integration.stock import NOON
from worker.domain.states import OUTCOMES
from worker.store.schema.tables import metadata

Rows = Mapping[str, Sequence[Mapping[str, Any]]]

HOUR: Final = timedelta(hours=1)
LEASE: Final = {"lease_id": "L-1", "lease_ends_at": NOON, "lease_kind": "cancel"}
WAITS: Final = {"next_attempt_at": NOON, "attempts": 1, "conversations": 1}


def _job(uid: str, state: str, **more: Any) -> dict[str, Any]:
    common = {"partner_txn_uid": uid, "partner_id": "ACTIVE", "reference1": "R", "state": state}
    usual = {"attempts": 0, "conversations": 0, "doubted": False, "next_attempt_at": None}
    times = {"created_at": NOON - HOUR, "updated_at": NOON}
    return {**common, "token_id": f"ok-{uid}", **usual, **times, **more}


def _final(state: str, outcome: str) -> dict[str, Any]:
    said = {"token_status": "S", "status_code": "00", "error_code": "E", "error_desc": "คืนเงิน"}
    counted = {"attempts": 2, "conversations": 3, "ends": 1, "doubted": outcome == "unknown"}
    times = {"finished_at": NOON, "seen_at": NOON}
    return _job(f"END-{outcome}", state, outcome=outcome, **times, **said, **counted)


JOBS: Final = (
    _job("PENDING", "pending", next_attempt_at=NOON),
    _job("HINTED", "pending", next_attempt_at=NOON, hinted_at=NOON, expires_at=NOON + HOUR),
    _job("IN-FLIGHT", "in_flight", attempts=1, conversations=1, **LEASE),
    _job(
        "INQUIRED",
        "in_flight",
        **{**LEASE, "lease_id": "L-2", "lease_kind": "inquiry"},
        attempts=1,
        conversations=2,
        doubted=True,
    ),
    _job(
        "RETRYABLE",
        "retryable",
        error_code="general_error",
        same_token=True,
        **WAITS,
        hints=3,
    ),
    _job("IN-DOUBT", "in_doubt", **{**WAITS, "doubted": True}),
    _job(
        "REQUEUED",
        "pending",
        next_attempt_at=NOON,
        conversations=4,
        requeued_at=NOON,
        uncounted=4,
        folded_at=NOON,
    ),
    _job("PAYABLE", "retryable", **WAITS, expires_at=NOON, still_payable_at=NOON),
    *(_final(state, outcome) for state, outcomes in OUTCOMES.items() for outcome in outcomes),
    _job("REISSUED", "refused", outcome="refused", finished_at=NOON, continued_by="ANEW"),
    _job("ANEW", "pending", next_attempt_at=NOON, continues="REISSUED"),
)


def _attempt(uid: str, number: int, **more: Any) -> dict[str, Any]:
    return {
        "partner_txn_uid": uid,
        "number": number,
        "kind": "cancel",
        "wire_uid": uid,
        "started_at": NOON - HOUR,
        "finished_at": NOON,
        "duration_ms": 120,
        "http_status": 200,
        "status_code": "10",
        "error_code": "E",
        "error_desc": "ไม่พบ",
        "heard": "unknown_code",
        "decision": "doubt",
        "spent": True,
        "detail": "errorCode E",
        **more,
    }


def _partner(name: str, mode: str, **more: Any) -> dict[str, Any]:
    return {"partner_id": name, "mode": mode, "failures": 3, "updated_at": NOON, **more}


def _audit(uid: str, **more: Any) -> dict[str, Any]:
    common = {"partner_txn_uid": uid, "partner_id": "ACTIVE", "wire_uid": "q1", "held": "cancelled"}
    return {**common, "started_at": NOON, "ends_at": NOON + HOUR, **more}


def _event(number: int, **more: Any) -> dict[str, Any]:
    common = {"event_id": f"evt_{number}", "destination": "webhook", "partner_txn_uid": "REQUEUED"}
    return {**common, "number": number, "body": "{}", "created_at": NOON, **more}


EVERYTHING: Final[Rows] = {
    "cancel_jobs": JOBS,
    "cancel_attempts": (
        _attempt("IN-DOUBT", 1, short_code="K001"),
        _attempt("REQUEUED", 4, folded=3, folded_minutes={"2026-03-01T11:00Z": 3}),
        _attempt("END-cancelled", 1, http_status=None, heard="read_timeout", short_code=""),
        _attempt("END-cancelled", 2, kind="inquiry", spent=False, decision="succeed"),
    ),
    "token_statuses": (
        {
            "partner_txn_uid": "END-cancelled",
            "number": 2,
            "position": 0,
            "token_id": "ok",
            "reference1": "R",
            "status": "CANCELLED",
            "observed_at": NOON,
        },
    ),
    "partners": (
        _partner("ACTIVE", "active", credentials="c1", proven_at=NOON, slot_at=NOON, pace=2.5),
        _partner("PAUSED", "paused", reason="wrong secret", resumed_at=NOON - HOUR),
        _partner("COOLING", "cooling", reason="faults", resume_at=NOON),
        _partner(
            "PROBED",
            "active",
            probe_id="p1",
            probe_ends_at=NOON,
            second_probe_id="p2",
            second_probe_ends_at=NOON,
            probe_uid="PENDING",
            failed_probes=1,
        ),
    ),
    "rejected_messages": (
        {
            "digest": "d" * 64,
            "reason": "not_json",
            "detail": "JSONDecodeError",
            "task": "kplus.cancel_token",
            "partner_txn_uid": "U",
            "body": "{ไม่",
            "deliveries": 7,
            "first_at": NOON,
            "last_at": NOON,
            "kind": "not_json+uid",
            "place": 1,
        },
    ),
    "rejected_counts": (
        {
            "kind": "not_json+uid",
            "reason": "not_json",
            "seen": 12,
            "not_kept": 11,
            "bytes": 4,
        },
    ),
    "operator_actions": (
        {
            "at": NOON,
            "who": "somchai",
            "action": "requeue",
            "target": "REQUEUED",
            "reason": "the bank is up again",
            "before": {"state": "exhausted"},
            "after": {"state": "pending"},
        },
    ),
    "tombstones": (
        {
            "partner_txn_uid": "PRUNED",
            "partner_id": "ACTIVE",
            "digest": "d" * 32,
            "outcome": "cancelled",
            "finished_at": NOON,
            "pruned_at": NOON,
        },
    ),
    "locks": ({"name": "anything"},),
    "outbox": (
        _event(1, state="delivered", delivered_at=NOON, attempts=1, tried_at=NOON),
        _event(2, state="dead", attempts=9, tried_at=NOON, fault="http_500"),
        _event(3, next_attempt_at=NOON, attempts=1, tried_at=NOON, lease_id="L-9"),
        _event(3, next_attempt_at=NOON, destination="message"),
    ),
    "endpoints": (
        {
            "destination": "webhook",
            "mode": "disabled",
            "reason": "http_410",
            "failures": 3,
            "updated_at": NOON,
        },
        {
            "destination": "message",
            "failures": 2,
            "resume_at": NOON + HOUR,
            "updated_at": NOON,
        },
    ),
    "audits": (
        _audit("END-cancelled"),
        _audit(
            "END-paid",
            finished_at=NOON,
            verdict="drifts",
            heard="cancelled",
            token_status="S",
            detail="d",
        ),
    ),
}
"""By table; every table, every state, every outcome, every column filled at least once."""


def put(connection: Connection, columns: Mapping[str, set[str]], rows: Rows = EVERYTHING) -> None:
    """Insert the rows, naming only these columns of these tables: as code that knows no others."""
    for table in metadata.sorted_tables:
        for row in rows.get(table.name, ()) if table.name in columns else ():
            known = {name: row[name] for name in row if name in columns[table.name]}
            connection.execute(insert(table).values(known))


def rewrite(connection: Connection, columns: Mapping[str, set[str]]) -> None:
    """Write every row anew with what it holds, naming only these columns."""
    for name, known in columns.items():
        table = metadata.tables[name]
        for row in connection.execute(select(table)).mappings().all():
            given = {column: row[column] for column in known}
            keys = [column == row[column.name] for column in table.primary_key]
            connection.execute(update(table).where(*keys).values(given))


def held(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Return everything the database holds, in the columns that it has now."""
    found = MetaData()
    found.reflect(connection)
    return {
        name: _read(connection, table)
        for name, table in found.tables.items()
        if name in metadata.tables
    }


def _read(connection: Connection, found: Table) -> list[dict[str, Any]]:
    ours = metadata.tables[found.name]
    columns = [ours.c[column.name] for column in found.columns]
    read = connection.execute(select(*columns).order_by(*ours.primary_key)).mappings()
    return [dict(row) for row in read]


def filled() -> dict[str, set[str]]:
    """Return the columns that hold something in at least one of the rows."""
    return {
        name: {column for row in rows for column, value in row.items() if value is not None}
        for name, rows in EVERYTHING.items()
    }


def known_at(connection: Connection) -> dict[str, set[str]]:
    """Return the columns of our tables that the database has now."""
    found = MetaData()
    found.reflect(connection)
    return {
        name: {column.name for column in table.columns}
        for name, table in found.tables.items()
        if name in metadata.tables
    }

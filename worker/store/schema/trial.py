"""
What a worker does to the tables, tried with the worker's own role, and rolled back.

Each right by a statement that matches no row, then a job and a large message by real rows: a
read-only server, a disk without room and a row-level policy show only there.
"""

import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Executable, cast, delete, false, insert, null, select, update
from sqlalchemy.exc import DBAPIError

from worker.store.engine.database import Database
from worker.store.engine.errors import translated
from worker.store.schema.tables import cancel_jobs, metadata, rejected_messages

READ: Final = ("SELECT",)
CHANGE: Final = ("SELECT", "INSERT", "UPDATE")
ALL: Final = (*CHANGE, "DELETE")
RIGHTS: Final[dict[str, tuple[str, ...]]] = {
    "audits": READ,
    "tombstones": READ,
    "cancel_jobs": CHANGE,
    "cancel_attempts": ALL,
    "token_statuses": ("SELECT", "INSERT", "DELETE"),
    "outbox": CHANGE,
    "partners": CHANGE,
    "endpoints": CHANGE,
    "locks": CHANGE,
    "rejected_messages": ALL,
    "rejected_counts": CHANGE,
}
"""The rights of a worker, as deploy/postgresql/roles.sql grants them."""

PERMISSION_DENIED: Final = "42501"
LARGE: Final = 192 * 1024
"""Bytes before encoding: more than the room that a table's file has left by chance."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The rights that a role lacks, by table."""

    role: str
    missing: dict[str, list[str]]


def try_as_a_worker(database: Database) -> Trial:
    """Try what a worker does. Raises `StoreUnavailable` where rows cannot be written."""
    with translated(), database.engine.connect() as connection:
        transaction = connection.begin()
        try:
            if database.is_sqlite:
                trial = Trial("", {})
            else:
                role = str(connection.exec_driver_sql("SELECT current_user").scalar())
                trial = Trial(role, _missing(connection))
            if not trial.missing:
                _write(connection)
        finally:
            transaction.rollback()
    return trial


def _missing(connection: Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, rights in RIGHTS.items():
        for right in rights:
            if not _may(connection, _harmless(table, right)):
                found.setdefault(table, []).append(right)
    return found


def _may(connection: Connection, statement: Executable) -> bool:
    savepoint = connection.begin_nested()
    try:
        connection.execute(statement)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != PERMISSION_DENIED:
            raise
        return False
    finally:
        savepoint.rollback()
    return True


def _harmless(name: str, right: str) -> Executable:
    """Return a statement that needs a right and does nothing: it matches no row."""
    table = metadata.tables[name]
    if right == "SELECT":
        return select(table).where(false())
    if right == "INSERT":
        nothing = select(*(cast(null(), column.type) for column in table.c)).where(false())
        return insert(table).from_select(list(table.c.keys()), nothing)
    if right == "UPDATE":
        key = next(iter(table.primary_key.columns))
        return update(table).values({key.name: key}).where(false())
    return delete(table).where(false())


def _write(connection: Connection) -> None:
    """Write a job and a large message, as an order and a bad message would."""
    uid = f"doctor-{secrets.token_hex(16)}"
    job = {"partner_txn_uid": uid, "partner_id": "doctor", "token_id": "T", "reference1": "R"}
    connection.execute(insert(cancel_jobs).values(job))
    mine = cancel_jobs.c.partner_txn_uid == uid
    connection.execute(update(cancel_jobs).values(reference1="R2").where(mine))
    now = select(cancel_jobs.c.created_at).where(mine).scalar_subquery()
    message = {
        "digest": uid,
        "reason": "probe",
        "detail": "",
        "body": secrets.token_urlsafe(LARGE),  # random, so that it cannot be compressed
        "first_at": now,
        "last_at": now,
    }
    connection.execute(insert(rejected_messages).values(message))
    connection.execute(delete(rejected_messages).where(rejected_messages.c.digest == uid))

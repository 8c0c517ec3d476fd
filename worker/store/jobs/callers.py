"""
Orders that are stored in a transaction which may be the caller's own.

Its session has the settings of the order system, and its driver may be another than ours. So what
is sent and what is read are ASCII, and no time is read: that means the same in every encoding, in
every form of times and with every driver.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from json import dumps
from types import SimpleNamespace
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam

from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.jobs.accept import (
    NEW,
    Acceptance,
    accept_many_statement,
    accept_statement,
    as_json,
    compare,
)
from worker.store.jobs.lookup import lookup


class AcceptInTransaction:
    """Stores the orders whose uid is new in one statement, and looks the others up in another."""

    def __init__(self, database: Database) -> None:
        self._database = database
        many = accept_statement if database.is_sqlite else accept_many_statement
        self._accept = many(database)
        uids: BindParameter[str] = bindparam("uids", expanding=True)
        self._lookup = lookup(uids, is_digested=not database.is_sqlite)

    def __call__(
        self,
        connection: Connection,
        orders: Sequence[Mapping[str, Any]],
        *,
        hinted: Collection[str],
    ) -> dict[str, Acceptance]:
        """Return the result for each uid; each comes once. They are stored in the given order."""
        if not orders:
            return {}
        times, names = self._database.times, self._database.names
        rows = [{**order, "hinted": order["uid"] in hinted} for order in orders]
        if self._database.is_sqlite:
            given: Any = [{**times, **row} for row in rows]
        else:
            given = {**times, "orders": dumps([as_json(row) for row in rows])}
        stored = connection.execute(self._accept, given, execution_options=names)
        new = {_text(uid) for uid in stored.scalars()}
        others = [order["uid"] for order in orders if order["uid"] not in new]
        uids = {"uids": others}
        known = rows_of(connection, self._lookup, uids, names) if others else []
        return compared(orders, map(_as_texts, known))


def compared(orders: Iterable[Mapping[str, Any]], stored: Iterable[Any]) -> dict[str, Acceptance]:
    """Return the result for each uid, from what is stored of those that were there before."""
    by_uid = {row.partner_txn_uid: row for row in stored}
    return {
        order["uid"]: compare(by_uid[order["uid"]], order) if order["uid"] in by_uid else NEW
        for order in orders
    }


def _as_texts(row: AnyRow) -> Any:
    """Return a row whose texts are texts: with the encoding SQL_ASCII psycopg returns bytes."""
    return SimpleNamespace(**{name: _text(value) for name, value in row._asdict().items()})


def _text(value: Any) -> Any:
    return value.decode("ascii") if isinstance(value, bytes) else value

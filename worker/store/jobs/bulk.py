"""Many orders at once: accept them, look them up, and list those accepted in a time span."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select

from worker.store.engine.column_types import Utc
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
from worker.store.schema.tables import JOBS

PAGE = 2000


class Bulk:
    """The statements about many jobs; each call is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._accept = accept_statement(database)
        self._accept_many = accept_many_statement(database)
        self._lookup = lookup(bindparam("uids", expanding=True))
        self._page = (
            select(JOBS.partner_txn_uid, JOBS.partner_id, JOBS.state, JOBS.outcome)
            .where(
                JOBS.partner_txn_uid > bindparam("after"),
                JOBS.created_at >= bindparam("since", type_=Utc()),
                JOBS.created_at < bindparam("until", type_=Utc()),
                # Reissued by an operator: the order system never sent it.
                JOBS.continues.is_(None),
            )
            .order_by(JOBS.partner_txn_uid)
            .limit(bindparam("most"))
        )

    def accept(
        self,
        orders: Sequence[Mapping[str, Any]],
        *,
        hinted: Collection[str] = (),
        connection: Connection | None = None,
    ) -> dict[str, Acceptance]:
        """
        Store the orders whose uid is new, in one statement; return the result for each uid.

        `orders` are as `Jobs.accept` takes them, up to a thousand, each uid once. The caller
        sends the hints for the uids in `hinted`, and the sweep those for all others. With a
        `connection` the rows join the caller's transaction.
        """
        # Always in this order: two callers with the same orders cannot wait for each other.
        ordered = sorted(orders, key=lambda order: str(order["uid"]))
        if connection is not None:
            stored = self._accept_on(connection, ordered, hinted)
        else:
            with self._database.writing() as own:
                stored = self._accept_on(own, ordered, hinted)
        return _compared(ordered, stored)

    def compare(self, orders: Sequence[Mapping[str, Any]]) -> dict[str, Acceptance]:
        """Return what `accept` would return, and store nothing."""
        stored = self.find([order["uid"] for order in orders])
        return _compared(orders, stored.values())

    def _accept_on(
        self,
        connection: Connection,
        ordered: Sequence[Mapping[str, Any]],
        hinted: Collection[str],
    ) -> list[AnyRow]:
        """Store what is new; return what is stored of the others."""
        if not ordered:
            return []
        times = self._database.times
        rows = [{**order, "hinted": order["uid"] in hinted} for order in ordered]
        if self._database.is_sqlite:
            stored = connection.execute(self._accept, [{**times, **row} for row in rows])
        else:
            listed = {"orders": [as_json(row) for row in rows]}
            stored = connection.execute(self._accept_many, {**times, **listed})
        new = set(stored.scalars())
        others = [order["uid"] for order in ordered if order["uid"] not in new]
        return rows_of(connection, self._lookup, {"uids": others}) if others else []

    def find(self, uids: Sequence[str]) -> dict[str, AnyRow]:
        """Return what is stored of these uids: jobs, or the tombstones of pruned ones."""
        rows = self._database.read(self._lookup, uids=list(uids)) if uids else []
        return {row.partner_txn_uid: row for row in rows}

    def accepted(
        self, *, since: datetime, until: datetime, page: int = PAGE
    ) -> Iterator[list[AnyRow]]:
        """Yield the jobs that were accepted from `since` to before `until`, by uid, in pages."""
        after, size = "", page
        while size == page:
            window = {"after": after, "since": since, "until": until, "most": page}
            rows = self._database.read(self._page, **window)
            size = len(rows)
            if rows:
                yield rows
                after = rows[-1].partner_txn_uid


def _compared(
    orders: Iterable[Mapping[str, Any]], stored: Iterable[AnyRow]
) -> dict[str, Acceptance]:
    by_uid = {row.partner_txn_uid: row for row in stored}
    return {
        order["uid"]: compare(by_uid[order["uid"]], order) if order["uid"] in by_uid else NEW
        for order in orders
    }

"""Many orders at once: accept them, look them up, and list those accepted in a time span."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select

from worker.store.engine.column_types import Utc
from worker.store.engine.database import AnyRow, Database
from worker.store.jobs.accept import Acceptance
from worker.store.jobs.callers import AcceptInTransaction, compared
from worker.store.jobs.lookup import lookup
from worker.store.schema.tables import JOBS

PAGE = 2000


class Bulk:
    """The statements about many jobs; each call is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._accept = AcceptInTransaction(database)
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
            return self._accept(connection, ordered, hinted=hinted)
        with self._database.writing() as own:
            return self._accept(own, ordered, hinted=hinted)

    def compare(self, orders: Sequence[Mapping[str, Any]]) -> dict[str, Acceptance]:
        """Return what `accept` would return, and store nothing."""
        stored = self.find([order["uid"] for order in orders])
        return compared(orders, stored.values())

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

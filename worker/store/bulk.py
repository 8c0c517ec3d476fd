"""Many orders at once: accept them, look them up, and list what was accepted in a time."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from worker.models import Utc
from worker.states import State
from worker.store.database import AnyRow, Database, rows_of
from worker.store.jobs import Acceptance, Status, accepting, compared
from worker.store.known import known
from worker.store.moves import JOBS

PAGE = 2000


class Bulk:
    """The statements about many jobs; each call is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._accept = accepting(database)
        self._known = known(bindparam("uids", expanding=True))
        self._page = (
            select(JOBS.partner_txn_uid, JOBS.partner_id, JOBS.state, JOBS.outcome)
            .where(
                JOBS.partner_txn_uid > bindparam("after"),
                JOBS.created_at >= bindparam("since", type_=Utc()),
                JOBS.created_at < bindparam("until", type_=Utc()),
                # What an operator reissued is no order of the order system's.
                JOBS.continues.is_(None),
            )
            .order_by(JOBS.partner_txn_uid)
            .limit(bindparam("most"))
        )

    def accept(self, orders: Sequence[Mapping[str, Any]]) -> dict[str, Acceptance]:
        """
        Store the orders whose uid is new, in one statement; say of each what became of it.

        `orders` are as `Jobs.accept` takes them, up to a thousand, each uid once. They are left
        to the sweep, which hints at them by and by.
        """
        # Whoever brings the same orders brings them in this order, and waits for no other.
        ordered = sorted(orders, key=lambda order: str(order["uid"]))
        with self._database.writing() as connection:
            times = self._database.times
            rows = [{**times, **order, "hinted": False} for order in ordered]
            new = set(connection.execute(self._accept, rows).scalars()) if rows else set()
            others = [order["uid"] for order in ordered if order["uid"] not in new]
            stored = rows_of(connection, self._known, {"uids": others}) if others else []
        by_uid = {row.partner_txn_uid: row for row in stored}
        accepted = Acceptance(Status.ACCEPTED, State.PENDING, None)
        return {
            order["uid"]: accepted if order["uid"] in new else compared(by_uid[order["uid"]], order)
            for order in ordered
        }

    def look(self, uids: Sequence[str]) -> dict[str, AnyRow]:
        """Return what is known of these uids: their jobs, or the tombstones of pruned ones."""
        rows = self._database.read(self._known, uids=list(uids)) if uids else []
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

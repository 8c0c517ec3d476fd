"""Which partners wait for the answer to a first call, and how many jobs wait behind it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, bindparam, func, not_, or_, select

from worker.store.engine.database import Database, rows_of
from worker.store.engine.elements import Now
from worker.store.partners.conditions import proven, rests
from worker.store.schema.tables import JOBS, cancel_jobs, partners

ROW = partners.c
MOST = 10_000
"""So many jobs are counted behind a call."""


@dataclass(frozen=True, slots=True)
class FirstCall:
    """A call for whose answer its partner waits; `following` counts up to `MOST` due jobs."""

    partner_id: str
    partner_txn_uid: str
    since: datetime
    following: int


class FirstCalls:
    """The statements that find them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        goes_first = or_(ROW.probe_id == JOBS.lease_id, ROW.second_probe_id == JOBS.lease_id)
        self._calls = (
            select(ROW.partner_id, JOBS.partner_txn_uid, JOBS.updated_at)
            .select_from(partners.join(cancel_jobs, ROW.partner_id == JOBS.partner_id))
            .where(JOBS.lease_ends_at > Now(), JOBS.lease_id.is_not(None))
            .where(goes_first, not_(proven()), not_(rests()))
            .order_by(JOBS.updated_at)
        )
        # Two counts, for the index of each: one over both would read what waits of all partners.
        self._following = select(
            _count(JOBS.hinted_at.is_(None)).label("new"),
            _count(JOBS.hinted_at.is_not(None)).label("hinted"),
        )

    def under_way(self) -> list[FirstCall]:
        """Return the first calls under way, the oldest of each partner."""
        with self._database.reading() as connection:
            times = self._database.times
            found: dict[str, FirstCall] = {}
            for row in rows_of(connection, self._calls, times):
                if row.partner_id in found:
                    continue
                params = {**times, "partner": row.partner_id}
                ((new, hinted),) = rows_of(connection, self._following, params)
                found[row.partner_id] = FirstCall(
                    row.partner_id, row.partner_txn_uid, row.updated_at, min(new + hinted, MOST)
                )
            return list(found.values())


def _count(where: ColumnElement[bool]) -> ColumnElement[int]:
    its: Select[tuple[str]] = select(JOBS.partner_txn_uid).where(
        JOBS.partner_id == bindparam("partner"), JOBS.next_attempt_at <= Now(), where
    )
    return select(func.count()).select_from(its.limit(MOST).subquery()).scalar_subquery()

"""What the sweep does between attempts: lost claims, jobs past their limits, due jobs, folds."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, func, select

from worker.domain.claims import Claim
from worker.domain.partners import Roster
from worker.domain.states import WAITING, Event, Outcome
from worker.store.engine.column_types import Utc
from worker.store.engine.database import AnyRow, Database
from worker.store.engine.elements import Now, NowPlus
from worker.store.jobs.batches import a_batch, in_batch
from worker.store.jobs.claim import CLAIMED, as_claim
from worker.store.jobs.finish import Finisher
from worker.store.jobs.fold import Folding
from worker.store.jobs.hinting import Hinting
from worker.store.jobs.transitions import EVENT_COLUMNS, last_word, move, past_its_limits, waiting
from worker.store.partners.conditions import resumed_at
from worker.store.schema.tables import JOBS

READS_FOR_ONE = 10
"""So many jobs past their expiry are read for each that may be ended."""
LATELY = timedelta(seconds=5)
"""A job that was claimed longer ago says nothing of how many slots there are now."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Backlog:
    """
    The statements of the sweep. Any number of copies may run at once.

    Each takes a bounded batch and skips rows that another copy has locked.
    """

    def __init__(self, database: Database, finisher: Finisher) -> None:
        self._database = database
        self._finisher = finisher
        self._folding = Folding(database)
        self._dead = dead_statement()
        self._expired = expired_statement()
        uids: BindParameter[str] = bindparam("uids", expanding=True)
        overdue = a_batch(JOBS.partner_txn_uid.in_(uids), waiting(), past_its_limits())
        self._exhaust = (
            move(Event.EXHAUST, only_from=WAITING)
            .where(in_batch(overdue))
            .values(outcome=last_word(), doubted=JOBS.doubted)
            .returning(*EVENT_COLUMNS)
        )
        self._hinting = Hinting(database)
        self._in_flight = in_flight_statement()
        self._expired_since = LONG_AGO

    def dead(self, *, most: int) -> list[Claim]:
        """Return claims whose lease has ended and that nobody settled, the oldest first."""
        return [as_claim(row) for row in self._database.read(self._dead, most=most)]

    def in_flight(self, *, lease: timedelta, most: int) -> int:
        """
        Count the jobs that workers took lately and still hold, of all workers; `most` at most.

        What a worker that is gone held counts no more a few seconds after.
        """
        left = max(lease - LATELY, timedelta(0)).total_seconds()
        ((count,),) = self._database.read(self._in_flight, left_seconds=left, most=most)
        return int(count)

    def exhaust(self, *, most: int, inquirers: list[str]) -> list[tuple[str, Outcome]]:
        """
        End waiting jobs that are past their expiry; return them with their outcome.

        Jobs of a partner in `inquirers` stay: the bank is asked about them. However many of them
        wait for it, a call reads a bounded number; the next call goes on behind them.
        """
        reads = READS_FOR_ONE * most
        given = {"inquirers": inquirers, "since": self._expired_since, "most": reads}
        found = self._database.read(self._expired, **given)
        uids = [row.partner_txn_uid for row in found if row.is_over][:most]
        if len(uids) < most:
            self._expired_since = _behind(found) if len(found) == reads else LONG_AGO
        if not uids:
            return []
        with self._database.writing() as connection:
            params = {**self._database.times, "uids": uids, "inquirers": inquirers}
            rows = self._finisher.run(connection, self._exhaust, params)
        return [(row.partner_txn_uid, Outcome(row.outcome)) for row in rows]

    def fold(self, *, most: int) -> int:
        """Fold old attempt rows that say the same, of so many jobs; return how many are gone."""
        return self._folding(most=most)

    def hint(
        self, *, high_water: int, again_after: timedelta, roster: Roster, runs: int | None = None
    ) -> list[str]:
        """
        Stamp due jobs as hinted and return them, the earliest token expiry first.

        At most `high_water` jobs have a fresh stamp at once, however many copies run, and of
        each partner no more than its gate lets in soon; at most `runs`, if given, of partners
        without a bound, whose jobs go on in runs. A stamp older than `again_after` counts as a
        lost message.
        """
        most = high_water if runs is None else runs
        return self._hinting.hint(
            high_water=high_water, runs=most, again_after=again_after, roster=roster
        )

    def unhint(self, uids: Sequence[str]) -> None:
        """Take back the stamp of jobs whose hint was not sent: the next pass hints at them."""
        self._hinting.unhint(uids)


def _behind(found: Sequence[AnyRow]) -> datetime:
    """Return the expiry at which the next reading begins: it must not read the same jobs again."""
    first, last = found[0].expires_at, found[-1].expires_at
    moved: datetime = last if last > first else last + timedelta(microseconds=1)
    return moved


def expired_statement() -> Select[Any]:
    """Return the statement that reads waiting jobs past their expiry, from a moment on."""
    return (
        select(JOBS.partner_txn_uid, JOBS.expires_at, past_its_limits().label("is_over"))
        .where(
            waiting(),
            JOBS.expires_at <= Now(),
            JOBS.expires_at >= bindparam("since", type_=Utc()),
        )
        .order_by(JOBS.expires_at, JOBS.next_attempt_at)
        .limit(bindparam("most"))
    )


def in_flight_statement() -> Select[Any]:
    """Return the statement that counts the jobs whose lease has so long to go, by its index."""
    held = (
        select(JOBS.lease_ends_at)
        .where(JOBS.lease_id.is_not(None), JOBS.lease_ends_at > NowPlus("left_seconds"))
        .limit(bindparam("most"))
    )
    return select(func.count()).select_from(held.subquery())


def dead_statement() -> Select[Any]:
    """Return the statement that finds claims whose lease has ended, the oldest first."""
    return (
        select(*CLAIMED, resumed_at().label("resumed_at"))
        # Only jobs in flight have a lease, by a CHECK; the index of the leases is over these.
        .where(JOBS.lease_id.is_not(None), JOBS.lease_ends_at <= Now())
        .order_by(JOBS.lease_ends_at)
        .limit(bindparam("most"))
    )

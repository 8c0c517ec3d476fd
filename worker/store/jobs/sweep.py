"""What the sweep does between attempts: lost claims, jobs past their limits, due jobs, folds."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Executable,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)

from worker.domain.claims import Claim
from worker.domain.gate import free_slots, spacing_seconds
from worker.domain.partners import Partner, PartnerMode, Roster
from worker.domain.states import WAITING, Event, Outcome, State
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.elements import InQuery, Now, NowPlus
from worker.store.jobs.claim import CLAIMED, as_claim
from worker.store.jobs.finish import Finisher
from worker.store.jobs.fold import Folding
from worker.store.jobs.transitions import EVENT_COLUMNS, last_word, move, past_its_limits, waiting
from worker.store.jobs.turn import HINTS, Turn
from worker.store.partners.conditions import partner_rests, probing, proven, rests, resumed_at
from worker.store.schema.tables import JOBS, cancel_jobs, partners

HINTS_UNTIL_PROVEN = 2
"""Hints for a partner that must prove itself: one call, and a spare if its message is lost."""


class Backlog:
    """
    The statements of the sweep. Any number of copies may run at once.

    Each takes a bounded batch and skips rows that another copy has locked.
    """

    def __init__(self, database: Database, finisher: Finisher) -> None:
        self._database = database
        self._finisher = finisher
        self._turn = Turn(database, HINTS)
        self._folding = Folding(database)
        self._dead = dead_statement()
        overdue = _batch(waiting(), past_its_limits()).limit(bindparam("most"))
        self._exhaust = (
            move(Event.EXHAUST, only_from=WAITING)
            .where(_in(overdue))
            .values(outcome=last_word(), doubted=JOBS.doubted)
            .returning(*EVENT_COLUMNS)
        )
        hinted = (
            select(JOBS.partner_id)
            .where(waiting(), _is_fresh())
            .limit(bindparam("most"))
            .subquery()
        )
        self._hinted_counts = select(hinted.c.partner_id, func.count()).group_by(
            hinted.c.partner_id
        )
        self._partners = select(
            partners.c.partner_id,
            rests().label("rests"),
            proven().label("proven"),
            probing().label("probing"),
            partners.c.mode,
            partners.c.pace,
            partners.c.slot_at,
            Now().label("now"),
        )
        paced: BindParameter[str] = bindparam("paced", expanding=True)
        self._hint_paced = hint_statement(JOBS.partner_id == bindparam("partner"))
        self._hint_probe = hint_statement(JOBS.partner_id == bindparam("partner"), is_probe=True)
        self._hint_others = hint_statement(JOBS.partner_id.not_in(paced))

    def dead(self, *, most: int) -> list[Claim]:
        """Return claims whose lease has ended and that nobody settled, the oldest first."""
        return [as_claim(row) for row in self._database.read(self._dead, most=most)]

    def exhaust(self, *, most: int, inquirers: list[str]) -> list[tuple[str, Outcome]]:
        """
        End waiting jobs that are past their expiry; return them with their outcome.

        Jobs of a partner in `inquirers` stay: the bank is asked about them.
        """
        with self._database.writing() as connection:
            params = {**self._database.times, "most": most, "inquirers": inquirers}
            rows = self._finisher.run(connection, self._exhaust, params)
        return [(row.partner_txn_uid, Outcome(row.outcome)) for row in rows]

    def fold(self, *, most: int) -> int:
        """Fold old attempt rows that say the same, of so many jobs; return how many are gone."""
        return self._folding(most=most)

    def hint(self, *, high_water: int, again_after: timedelta, roster: Roster) -> list[str]:
        """
        Stamp due jobs as hinted and return them, the earliest token expiry first.

        At most `high_water` jobs have a fresh stamp at once, however many copies run, and of
        each partner no more than its gate lets in soon. A stamp older than `again_after` counts
        as a lost message.
        """
        params: dict[str, object] = {
            "hinted_ago_seconds": -again_after.total_seconds(),
            "hinted_ahead_seconds": again_after.total_seconds(),
            "inquirers": roster.inquirers,
        }
        with self._database.writing() as connection:
            # The stamps of another copy cannot be seen before it has committed.
            if not self._turn.take(connection):
                return []
            params |= self._database.times
            counts = rows_of(connection, self._hinted_counts, {**params, "most": high_water})
            hinted = {row[0]: row[1] for row in counts}
            room = high_water - sum(hinted.values())
            rows = self._fill(connection, room, hinted, roster, params) if room > 0 else []
        latest = max((row.expires_at for row in rows if row.expires_at), default=None)
        rows.sort(key=lambda row: (row.expires_at is None, row.expires_at or latest, row[2]))
        return [row.partner_txn_uid for row in rows]

    def _fill(
        self,
        connection: Connection,
        room: int,
        hinted: Mapping[str, int],
        roster: Roster,
        params: Mapping[str, object],
    ) -> list[AnyRow]:
        """Hint at jobs of each partner whose gate is narrow, up to its room, then of all others."""
        stored = {row.partner_id: row for row in rows_of(connection, self._partners, params)}
        rooms = {name: _room(stored.get(name), roster.get(name)) for name in {*stored, *roster}}
        paced = {name: limit for name, limit in rooms.items() if limit is not None}
        rows: list[AnyRow] = []
        for name, limit in paced.items():
            count = min(limit - hinted.get(name, 0), room - len(rows))
            if count > 0:
                one = {**params, "partner": name, "room": count}
                row = stored.get(name)
                is_probe = row is not None and row.mode == PartnerMode.COOLING
                statement = self._hint_probe if is_probe else self._hint_paced
                rows += rows_of(connection, statement, one)
        others = {**params, "paced": list(paced), "room": room - len(rows)}
        return rows + (rows_of(connection, self._hint_others, others) if len(rows) < room else [])


def _room(row: AnyRow | None, partner: Partner | None) -> int | None:
    """Return how many jobs of a partner may have a fresh hint; None if any number may."""
    if row is not None and (row.rests or (row.probing and not row.proven)):
        return 0
    if row is None or not row.proven:
        return HINTS_UNTIL_PROVEN
    spacings = [row.pace or 0.0]
    rooms = []
    if partner is not None:
        spacings.append(spacing_seconds(partner))
        if partner.max_concurrency is not None:
            rooms.append(2 * partner.max_concurrency)
    seconds = max(spacings)
    if seconds:
        # The gate would turn more away, and they would be hinted at again.
        rooms.append(free_slots(row.slot_at, now=row.now, seconds=seconds))
    return min(rooms, default=None)


def _is_fresh() -> ColumnElement[bool]:
    """Return the condition under which a worker may still act on a job's last hint."""
    return and_(
        JOBS.hinted_at > NowPlus("hinted_ago_seconds"),
        # A stamp as far in the future is stale too: the clock was set back since.
        JOBS.hinted_at < NowPlus("hinted_ahead_seconds"),
        ~_partner_changed_since(),
    )


def _partner_changed_since() -> ColumnElement[bool]:
    """
    Return the condition under which a job's partner began or ended a rest after the job's hint.

    The gate turned the hinted job away, so its hint counts as lost and a new one is due.
    """
    changed = (partners.c.partner_id == JOBS.partner_id, partners.c.updated_at >= JOBS.hinted_at)
    return select(partners.c.partner_id).where(*changed).correlate(cancel_jobs).exists()


def dead_statement() -> Select[Any]:
    """Return the statement that finds claims whose lease has ended, the oldest first."""
    return (
        select(*CLAIMED, resumed_at().label("resumed_at"))
        .where(JOBS.state == State.IN_FLIGHT, JOBS.lease_ends_at <= Now())
        .order_by(JOBS.lease_ends_at)
        .limit(bindparam("most"))
    )


def hint_statement(whose: ColumnElement[bool], *, is_probe: bool = False) -> Executable:
    """
    Return the statement that stamps due jobs, the earliest token expiry first.

    After a rest the job that has waited longest goes first: the one that was turned away before
    the rest has not, and may be what a gateway does not want.
    """
    by_expiry = (JOBS.expires_at.asc().nulls_last(), JOBS.next_attempt_at)
    due = (
        _batch(
            # Only waiting jobs are due. With both conditions PostgreSQL expects far too few rows.
            JOBS.next_attempt_at <= Now(),
            or_(JOBS.hinted_at.is_(None), ~_is_fresh()),
            whose,
            ~past_its_limits(),
            ~partner_rests(),
        )
        .order_by(*((JOBS.next_attempt_at,) if is_probe else by_expiry))
        .limit(bindparam("room"))
    )
    return (
        update(cancel_jobs)
        .where(waiting(), _in(due))
        .values(hinted_at=Now())
        .returning(JOBS.partner_txn_uid, JOBS.expires_at, JOBS.next_attempt_at)
    )


def _batch(*where: ColumnElement[bool]) -> Select[tuple[str]]:
    """Select the uids of some jobs; skip rows that another copy has locked."""
    return select(JOBS.partner_txn_uid).where(*where).with_for_update(skip_locked=True)


def _in(batch: Select[tuple[str]]) -> ColumnElement[bool]:
    """
    Return the condition of being in a batch.

    A CTE that locks rows is run once; a subquery may be run once for each row, and its limit
    then bounds nothing. As a list its rows are looked up by their key; with a join PostgreSQL
    may read every waiting job (measured).
    """
    return InQuery(JOBS.partner_txn_uid, select(batch.cte("batch").c.partner_txn_uid))

"""Everything between attempts: dead claims, jobs past their limits, jobs whose time has come."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
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
from worker.domain.partners import Partner, Roster
from worker.domain.states import WAITING, Event, Outcome, State
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.elements import After, Now, OneOfThose
from worker.store.jobs.claim import CLAIMED, as_claim
from worker.store.jobs.finish import Finisher
from worker.store.jobs.transitions import EVENT_COLUMNS, last_word, move, past_its_limits, waiting
from worker.store.partners.conditions import partner_rests, probing, proven, rests
from worker.store.schema.tables import JOBS, cancel_jobs, partners

HINTING = 0x6B706C7573
"""The number of the lock that copies of the sweep contend for."""
FIRST_CALLS = 2
"""Jobs that are hinted at where one goes first: a spare one, should a message be lost."""


class Backlog:
    """
    The statements of the sweep. Any number of copies may run at once.

    Each takes a bounded batch and passes over rows that another copy holds.
    """

    def __init__(self, database: Database, ends: Finisher) -> None:
        self._database = database
        self._ends = ends
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
        self._on_the_conveyor = select(hinted.c.partner_id, func.count()).group_by(
            hinted.c.partner_id
        )
        self._doors = select(
            partners.c.partner_id,
            rests().label("rests"),
            proven().label("proven"),
            probing().label("probing"),
            partners.c.pace,
            partners.c.slot_at,
            Now().label("now"),
        )
        paced: Any = bindparam("paced", expanding=True)
        self._hint_paced = hint_statement(JOBS.partner_id == bindparam("partner"))
        self._hint_others = hint_statement(JOBS.partner_id.not_in(paced))

    def dead(self, *, most: int) -> list[Claim]:
        """Return claims whose lease ended without a word from their worker, oldest first."""
        return [as_claim(row) for row in self._database.read(self._dead, most=most)]

    def exhaust(self, *, most: int, inquirers: list[str]) -> list[tuple[str, Outcome]]:
        """
        End waiting jobs that are past their expiry; return them with their outcome.

        Those of a partner listed in `inquirers` have one last conversation instead.
        """
        with self._database.writing() as connection:
            params = {**self._database.times, "most": most, "inquirers": inquirers}
            rows = self._ends.run(connection, self._exhaust, params)
        return [(row.partner_txn_uid, Outcome(row.outcome)) for row in rows]

    def hint(self, *, high_water: int, again_after: timedelta, roster: Roster) -> list[str]:
        """
        Stamp due jobs as hinted and return them, earliest token expiry first.

        At most `high_water` jobs are on the conveyor at once, however many copies run, and
        of each partner no more than its gate lets in soon. A stamp older than `again_after`
        counts as a lost message.
        """
        params: dict[str, Any] = {
            "hinted_ago_seconds": -again_after.total_seconds(),
            "hinted_ahead_seconds": again_after.total_seconds(),
            "inquirers": roster.inquirers,
        }
        with self._database.writing() as connection:
            # Another copy's stamps are not to be seen before it has committed.
            if not self._database.is_alone(connection, HINTING):
                return []
            params |= self._database.times
            counts = rows_of(connection, self._on_the_conveyor, {**params, "most": high_water})
            under_way = {row[0]: row[1] for row in counts}
            room = high_water - sum(under_way.values())
            rows = self._fill(connection, room, under_way, roster, params) if room > 0 else []
        never = max((row.expires_at for row in rows if row.expires_at), default=None)
        rows.sort(key=lambda row: (row.expires_at is None, row.expires_at or never, row[2]))
        return [row.partner_txn_uid for row in rows]

    def _fill(
        self,
        connection: Connection,
        room: int,
        under_way: Mapping[str, int],
        roster: Roster,
        params: Mapping[str, Any],
    ) -> list[AnyRow]:
        """Hint at jobs of the partners with a narrow gate, each by its room, then of the others."""
        doors = {row.partner_id: row for row in rows_of(connection, self._doors, params)}
        rooms = {name: _room(doors.get(name), roster.get(name)) for name in {*doors, *roster}}
        paced = {name: wide for name, wide in rooms.items() if wide is not None}
        rows: list[AnyRow] = []
        for name, wide in paced.items():
            fits = min(wide - under_way.get(name, 0), room - len(rows))
            if fits > 0:
                given = {**params, "partner": name, "room": fits}
                rows += rows_of(connection, self._hint_paced, given)
        given = {**params, "paced": list(paced), "room": room - len(rows)}
        return rows + (rows_of(connection, self._hint_others, given) if len(rows) < room else [])


def _room(door: AnyRow | None, partner: Partner | None) -> int | None:
    """Return how many jobs of a partner may be on the conveyor; None where any number may."""
    if door is not None and (door.rests or (door.probing and not door.proven)):
        return 0
    if door is None or not door.proven:
        return FIRST_CALLS
    spacings = [door.pace or 0.0]
    rooms = []
    if partner is not None:
        spacings.append(spacing_seconds(partner))
        if partner.max_concurrency is not None:
            rooms.append(2 * partner.max_concurrency)
    seconds = max(spacings)
    if seconds:
        # More would only be turned away, and hinted at again.
        rooms.append(free_slots(door.slot_at, now=door.now, seconds=seconds))
    return min(rooms, default=None)


def _is_fresh() -> ColumnElement[bool]:
    """Return the condition under which a job's last hint is still expected to be acted on."""
    return and_(
        JOBS.hinted_at > After("hinted_ago_seconds"),
        # A stamp as far in the future is stale too: the clock was set back meanwhile.
        JOBS.hinted_at < After("hinted_ahead_seconds"),
        ~_partner_turned_since(),
    )


def _partner_turned_since() -> ColumnElement[bool]:
    """
    Return the condition under which a job's partner began or ended a rest after the job's hint.

    What came of the hint was a refusal, then: it counts as lost, and the job waits no longer.
    """
    turned = (partners.c.partner_id == JOBS.partner_id, partners.c.updated_at >= JOBS.hinted_at)
    return select(partners.c.partner_id).where(*turned).correlate(cancel_jobs).exists()


def dead_statement() -> Select[Any]:
    """Return the statement that finds claims whose lease has ended, the oldest first."""
    return (
        select(*CLAIMED)
        .where(JOBS.state == State.IN_FLIGHT, JOBS.lease_ends_at <= Now())
        .order_by(JOBS.lease_ends_at)
        .limit(bindparam("most"))
    )


def hint_statement(whose: ColumnElement[bool]) -> Any:
    """Return the statement that stamps due jobs, the earliest token expiry first."""
    due = (
        _batch(
            # Only those that wait are due. Said twice, PostgreSQL expects a hundredth of them.
            JOBS.next_attempt_at <= Now(),
            or_(JOBS.hinted_at.is_(None), ~_is_fresh()),
            whose,
            ~past_its_limits(),
            ~partner_rests(),
        )
        .order_by(JOBS.expires_at.asc().nulls_last(), JOBS.next_attempt_at)
        .limit(bindparam("room"))
    )
    return (
        update(cancel_jobs)
        .where(waiting(), _in(due))
        .values(hinted_at=Now())
        .returning(JOBS.partner_txn_uid, JOBS.expires_at, JOBS.next_attempt_at)
    )


def _batch(*where: ColumnElement[bool]) -> Any:
    """Select the uids of some jobs; rows that another copy holds are passed over."""
    return select(JOBS.partner_txn_uid).where(*where).with_for_update(skip_locked=True)


def _in(batch: Any) -> ColumnElement[bool]:
    """
    Return the condition of being in a batch.

    A subquery may be run once a row, and its limit then bounds nothing; a CTE that locks
    is run once. As a list, its rows are looked up by their key; joined, PostgreSQL may read all
    that waits for it (measured).
    """
    return OneOfThose(JOBS.partner_txn_uid, select(batch.cte("batch").c.partner_txn_uid))

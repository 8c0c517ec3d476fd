"""
Which due jobs a pass of the sweep hints at, and the stamp that says so.

A pass reads the jobs that are first in line. Only if those of partners without room are in the
way, it reads the first ones of each partner, of a bounded number of partners. So it costs what it
hints at, however many jobs wait, and of however many partners.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from worker.domain.limits import has_expired, valid_expiry
from worker.domain.partners import Roster
from worker.domain.turns import ONE_IN, Room, Turns, room_of, room_of_new
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.prepared import Prepared
from worker.store.jobs.hint_statements import (
    counts_statement,
    firsts_statement,
    front_statement,
    hint_statement,
    take_back_statement,
    unhint_statement,
    waiting_partners_statement,
)
from worker.store.jobs.turn import HINTS, Turn

LEAST_READ = 16
"""So much a pass reads at least, of jobs or partners, however few hints are left to send."""
MORE_READ = 1.5
"""So many times what may be hinted at is read of those first in line: some must wait."""
ROUNDS = 3
"""So often it goes on with those of them that have more."""

Params = Mapping[str, object]


class Hinting:
    """The statements of the hints. Any number of copies may run at once; one of them hints."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = Turn(database, HINTS)
        self._take_back = take_back_statement()
        self._counts = counts_statement()
        self._front = Prepared(database, front_statement())
        self._waiting_partners = Prepared(database, waiting_partners_statement())
        self._firsts = Prepared(database, firsts_statement(is_sqlite=database.is_sqlite))
        self._stamp = hint_statement()
        self._unhint = unhint_statement()
        self._after = ""
        self._front_is_blocked = False
        """Whether most of those that were first in line had no room in the last pass."""

    def hint(
        self, *, high_water: int, runs: int, again_after: timedelta, roster: Roster
    ) -> list[str]:
        """Do as `Backlog.hint` promises."""
        params: dict[str, object] = {
            "hinted_ago_seconds": -again_after.total_seconds(),
            "hinted_ahead_seconds": again_after.total_seconds(),
            "most": 2 * high_water,
        }
        with self._database.writing() as connection:
            # The stamps of another copy cannot be seen before it has committed.
            if high_water <= 0 or not self._turn.take(connection):
                return []
            params |= self._database.times
            rows_of(connection, self._take_back, params)
            counts = rows_of(connection, self._counts, params)
            turns = Turns(
                room=high_water - sum(row.jobs for row in counts),
                suspects=max(-(-high_water // ONE_IN) - sum(row.suspects for row in counts), 0),
                runs=max(runs - _opening_runs(counts, roster), 0),
            )
            if turns.room <= 0:
                return []
            hinted = {row.partner_id: row.jobs - row.suspects for row in counts}
            self._fill(turns, _Rooms(roster, hinted), connection, params)
            uids = [job.partner_txn_uid for job in turns.chosen]
            rows = rows_of(connection, self._stamp, {**params, "uids": uids}) if uids else []
        latest = max((row.expires_at for row in rows if row.expires_at), default=None)
        rows.sort(key=lambda row: (row.expires_at is None, row.expires_at or latest, row[2]))
        return [row.partner_txn_uid for row in rows]

    def unhint(self, uids: Sequence[str]) -> None:
        """Take back the stamp of jobs whose hint was not sent: the next pass hints at them."""
        if uids:
            self._database.run(self._unhint, uids=list(uids))

    def _fill(self, turns: Turns, rooms: "_Rooms", connection: Connection, params: Params) -> None:
        """Offer turns to the jobs that are first in line; then, if need be, partner by partner."""
        most = max(int(MORE_READ * turns.mostly), LEAST_READ)
        if self._front_is_blocked:
            most = LEAST_READ
        front = self._front.on(connection, **params, each=most)
        turns.offer(_callable(front, rooms.roster), rooms.of(front))
        self._front_is_blocked = bool(turns.mostly) and 2 * len(turns.chosen) < len(front)
        if turns.left and max(Counter(row.part for row in front).values(), default=0) >= most:
            self._fill_by_partner(turns, rooms, connection, params)

    def _fill_by_partner(
        self, turns: Turns, rooms: "_Rooms", connection: Connection, params: Params
    ) -> None:
        most = max(turns.mostly, LEAST_READ)
        partners = self._next_partners(connection, params, most=most)
        known, each = rooms.of(partners), 1
        names = [row.partner_id for row in partners]
        for _ in range(ROUNDS):
            names = [name for name in names if turns.wants(name, known[name])]
            if not names or not turns.left:
                return
            each = max(2 * each, 2 * turns.mostly // len(names))
            rows = self._firsts.on(connection, **params, names=names, each=each)
            turns.offer(_callable(rows, rooms.roster), known)
            full = Counter((row.partner_id, row.part) for row in rows)
            more = {name for (name, _), count in full.items() if count >= each}
            names = [name for name in names if name in more]

    def _next_partners(self, connection: Connection, params: Params, *, most: int) -> list[AnyRow]:
        """Return partners with waiting jobs: those behind the last pass's, then from the first."""
        found: dict[str, AnyRow] = {}
        for after in dict.fromkeys([self._after, ""]):
            if len(found) == most:
                break
            given = {**params, "after": after, "most": most - len(found)}
            rows = self._waiting_partners.on(connection, **given)
            found |= {row.partner_id: row for row in rows if row.partner_id not in found}
        self._after = list(found)[-1] if len(found) == most else ""
        return list(found.values())


class _Rooms:
    """The room of each partner that was read, with what a pass goes by."""

    def __init__(self, roster: Roster, hinted: Mapping[str, int]) -> None:
        self.roster = roster
        self._hinted = hinted
        self._known: dict[str, Room] = {}

    def of(self, rows: Iterable[AnyRow]) -> Mapping[str, Room]:
        """Return what is known of the partners of these rows, and of those before."""
        for row in rows:
            if row.partner_id not in self._known:
                self._known[row.partner_id] = self._room(row)
        return self._known

    def _room(self, row: AnyRow) -> Room:
        partner = self.roster.get(row.partner_id)
        if row.mode is None:
            room = room_of_new(partner)
        else:
            room = room_of(row._asdict(), partner, now=row.now)
        return room.without(self._hinted.get(row.partner_id, 0))


def _opening_runs(counts: Iterable[AnyRow], roster: Roster) -> int:
    """Return how many of the hints that count are of partners whose jobs go on in runs."""
    partners = ((row.jobs, roster.get(row.partner_id)) for row in counts)
    return sum(jobs for jobs, partner in partners if partner is None or not partner.is_limited)


def _callable(rows: Iterable[AnyRow], roster: Roster) -> list[Any]:
    """Leave out jobs past their limits: no call can begin about them (`past_its_limits`)."""
    inquirers = set(roster.inquirers)
    return [row for row in rows if row.partner_id in inquirers or not _has_expired(row)]


def _has_expired(row: AnyRow) -> bool:
    expiry = valid_expiry(row.expires_at, still_payable_at=row.still_payable_at)
    return has_expired(expiry, at=row.now)

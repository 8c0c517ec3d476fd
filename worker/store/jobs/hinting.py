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

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Connection,
    Executable,
    Float,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    union_all,
    update,
)

from worker.domain.limits import has_expired, valid_expiry
from worker.domain.partners import Roster
from worker.domain.turns import HOLDS, ONE_IN, SUSPECT_AFTER, Room, Turns, room_of, room_of_new
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.elements import InList, InQuery, Now, NowPlus, rows_of_list
from worker.store.jobs.batches import a_batch, in_batch
from worker.store.jobs.transitions import waiting
from worker.store.schema.tables import JOBS, cancel_jobs, partners

HINT_LOCK = 0x6B706C7573
"""The number of the advisory lock that lets one sweep at a time send hints."""
LEAST_READ = 16
"""So much a pass reads at least, of jobs or partners, however few hints are left to send."""
ROUNDS = 3
"""So often it goes on with those of them that have more."""

READ = (
    JOBS.partner_txn_uid,
    JOBS.partner_id,
    JOBS.expires_at,
    JOBS.still_payable_at,
    JOBS.next_attempt_at,
    JOBS.updated_at,
    JOBS.hints,
    JOBS.conversations,
    JOBS.status_code,
)
URGENCY = (JOBS.expires_at, JOBS.next_attempt_at)
Params = Mapping[str, object]


class Hinting:
    """The statements of the hints. Any number of copies may run at once; one of them hints."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._take_back = take_back_statement()
        self._counts = _counts()
        self._front = front_statement()
        self._partners = select(partners, Now().label("now")).where(
            InList(partners.c.partner_id, "names")
        )
        self._waiting_partners = waiting_partners_statement()
        self._firsts = firsts_statement(is_sqlite=database.is_sqlite)
        self._stamp = hint_statement()
        self._unhint = unhint_statement()
        self._after = ""

    def hint(self, *, high_water: int, again_after: timedelta, roster: Roster) -> list[str]:
        """Do as `Backlog.hint` promises."""
        params: dict[str, object] = {
            "hinted_ago_seconds": -again_after.total_seconds(),
            "hinted_ahead_seconds": again_after.total_seconds(),
            "most": 2 * high_water,
        }
        with self._database.writing() as connection:
            # The stamps of another copy cannot be seen before it has committed.
            if high_water <= 0 or not self._database.try_lock(connection, HINT_LOCK):
                return []
            params |= self._database.times
            rows_of(connection, self._take_back, params)
            counts = rows_of(connection, self._counts, params)
            turns = Turns(
                room=high_water - sum(row.jobs for row in counts),
                suspects=max(-(-high_water // ONE_IN) - sum(row.suspects for row in counts), 0),
            )
            if turns.room <= 0:
                return []
            hinted = {row.partner_id: row.jobs - row.suspects for row in counts}
            self._fill(turns, _Rooms(self._partners, connection, params, roster, hinted))
            uids = [job.partner_txn_uid for job in turns.chosen]
            rows = rows_of(connection, self._stamp, {**params, "uids": uids}) if uids else []
        latest = max((row.expires_at for row in rows if row.expires_at), default=None)
        rows.sort(key=lambda row: (row.expires_at is None, row.expires_at or latest, row[2]))
        return [row.partner_txn_uid for row in rows]

    def unhint(self, uids: Sequence[str]) -> None:
        """Take back the stamp of jobs whose hint was not sent: the next pass hints at them."""
        if uids:
            self._database.run(self._unhint, uids=list(uids))

    def _fill(self, turns: Turns, rooms: "_Rooms") -> None:
        """Offer turns to the jobs that are first in line; then, if need be, partner by partner."""
        connection, params = rooms.connection, rooms.params
        most = max(2 * turns.room, LEAST_READ)
        front = rows_of(connection, self._front, {**params, "each": most})
        turns.offer(_callable(front, rooms.roster), rooms.of(row.partner_id for row in front))
        if turns.left and max(Counter(row.part for row in front).values(), default=0) >= most:
            self._fill_by_partner(turns, rooms)

    def _fill_by_partner(self, turns: Turns, rooms: "_Rooms") -> None:
        connection, params = rooms.connection, rooms.params
        most = max(turns.left, LEAST_READ)
        after = {**params, "after": self._after, "most": most}
        found = [row.partner_id for row in rows_of(connection, self._waiting_partners, after)]
        # The next pass goes on with the partners behind these, and begins anew after the last.
        self._after = found[-1] if len(found) == most else ""
        names, each = found, 2
        for _ in range(ROUNDS):
            known = rooms.of(names)
            names = [name for name in names if turns.wants(name, known[name])]
            if not names or not turns.left:
                return
            each = max(2 * each, 2 * turns.left // len(names))
            given = {**params, "names": names, "each": each}
            rows = rows_of(connection, self._firsts, given)
            turns.offer(_callable(rows, rooms.roster), known)
            full = Counter((row.partner_id, row.part) for row in rows)
            more = {name for (name, _), count in full.items() if count >= each}
            names = [name for name in names if name in more]


class _Rooms:
    """The room of each partner, read when it is asked for, with what a pass goes by."""

    def __init__(
        self,
        statement: Select[*tuple[Any, ...]],
        connection: Connection,
        params: Params,
        roster: Roster,
        hinted: Mapping[str, int],
    ) -> None:
        self.connection, self.params, self.roster = connection, params, roster
        self._statement = statement
        self._hinted = hinted
        self._known: dict[str, Room] = {}

    def of(self, names: Iterable[str]) -> Mapping[str, Room]:
        """Return what is known of these partners, and of those that were asked for before."""
        new = sorted(set(names) - self._known.keys())
        if new:
            rows = rows_of(self.connection, self._statement, {**self.params, "names": new})
            stored = {row.partner_id: row for row in rows}
            for name in new:
                row, partner = stored.get(name), self.roster.get(name)
                if row is None:
                    room = room_of_new(partner)
                else:
                    room = room_of(row._asdict(), partner, now=row.now)
                self._known[name] = room.without(self._hinted.get(name, 0))
        return self._known


def _callable(rows: Iterable[AnyRow], roster: Roster) -> list[Any]:
    """Leave out jobs past their limits: no call can begin about them (`past_its_limits`)."""
    inquirers = set(roster.inquirers)
    return [row for row in rows if row.partner_id in inquirers or not _has_expired(row)]


def _has_expired(row: AnyRow) -> bool:
    expiry = valid_expiry(row.expires_at, still_payable_at=row.still_payable_at)
    return has_expired(expiry, at=row.now)


def _counts() -> Executable:
    """Count, by partner, the jobs on whose last hint a worker may still act."""
    fresh = (
        select(JOBS.partner_id, JOBS.hints)
        .where(
            waiting(),
            JOBS.hinted_at > NowPlus("hinted_ago_seconds"),
            JOBS.hinted_at < NowPlus("hinted_ahead_seconds"),
        )
        .limit(bindparam("most"))
        .subquery()
    )
    is_suspect = case((fresh.c.hints > SUSPECT_AFTER, 1), else_=0)
    return select(
        fresh.c.partner_id, func.count().label("jobs"), func.sum(is_suspect).label("suspects")
    ).group_by(fresh.c.partner_id)


def take_back_statement() -> Executable:
    """
    Return the statement that takes back hints which led to nothing, the oldest first.

    A hint counts for longer the more of them were lost before. One that came while its partner
    rested, or before its rest, was refused for the partner's sake: it is not counted.
    """
    batch = (
        a_batch(JOBS.hinted_at.is_not(None), waiting(), _is_stale())
        .order_by(JOBS.hinted_at)
        .limit(bindparam("most"))
    )
    lost = case((JOBS.hints < 1, 1), else_=JOBS.hints)
    return (
        update(cancel_jobs)
        .where(waiting(), in_batch(batch))
        .values(hinted_at=None, hints=case((_partner_changed_since(), 0), else_=lost))
    )


def _is_stale() -> ColumnElement[bool]:
    """Return the condition under which no worker acts on a job's last hint any more."""
    ago = NowPlus("hinted_ago_seconds")
    held = case(
        *((JOBS.hints <= count, literal(hold)) for count, hold in enumerate(HOLDS[:-1])),
        else_=literal(HOLDS[-1]),
    )
    seconds = bindparam("hinted_ago_seconds", type_=Float())
    return or_(
        and_(JOBS.hinted_at <= ago, JOBS.hinted_at <= NowPlus(seconds * held)),
        # A stamp as far in the future is stale too: the clock was set back since.
        JOBS.hinted_at >= NowPlus("hinted_ahead_seconds"),
        and_(_some_partner_changed(), _partner_changed_since()),
    )


def _some_partner_changed() -> ColumnElement[bool]:
    """Return the condition, asked once a statement, under which the next one may hold."""
    lately = partners.c.updated_at > NowPlus(
        bindparam("hinted_ago_seconds", type_=Float()) * HOLDS[-1]
    )
    return select(partners.c.partner_id).where(lately).exists()


def _partner_changed_since() -> ColumnElement[bool]:
    """Return the condition under which a job's partner began or ended a rest after its hint."""
    changed = (partners.c.partner_id == JOBS.partner_id, partners.c.updated_at >= JOBS.hinted_at)
    return select(partners.c.partner_id).where(*changed).correlate(cancel_jobs).exists()


def front_statement() -> CompoundSelect[Any]:
    """
    Return the statement that reads the due jobs without a hint that are first in line.

    At most `each` past their expiry, before it, and without one: those that are past it may wait
    for the sweep to end them, and hold up nobody.
    """
    kinds = (JOBS.expires_at <= Now(), JOBS.expires_at > Now(), JOBS.expires_at.is_(None))
    return union_all(*(_part(number, kind) for number, kind in enumerate(kinds)))


def firsts_statement(*, is_sqlite: bool) -> Select[Any]:
    """Return the statement that reads the first jobs of each partner in `names`."""
    names = rows_of_list("names", is_sqlite=is_sqlite)
    its = JOBS.partner_id == literal_column("names.value", String())
    # Not apart by expiry: where PostgreSQL's statistics know of no job without one yet, it would
    # read all of these for each partner (measured: 6 s with 60 000).
    new = _part(0, its, JOBS.hints == 0)
    firsts = union_all(new, _part(1, its, JOBS.hints > 0, order=(JOBS.hints, *URGENCY)))
    if not is_sqlite:
        each = firsts.lateral("firsts")
        return select(each).select_from(names.join(each, true()))
    # It has no LATERAL: the keys of a partner's first jobs, then the jobs.
    found = firsts.subquery("firsts")
    part = literal_column("0", Integer()).label("part")
    chosen = InQuery(JOBS.partner_txn_uid, select(found.c.partner_txn_uid))
    return select(*READ, Now().label("now"), part).select_from(names.join(cancel_jobs, chosen))


def _part(
    number: int,
    *where: ColumnElement[bool],
    order: Sequence[ColumnElement[Any]] = URGENCY,
) -> Select[Any]:
    """Return the first `each` of such jobs, as a part of a union."""
    jobs = (
        select(*READ, Now().label("now"), literal_column(str(number), Integer()).label("part"))
        .where(JOBS.next_attempt_at <= Now(), JOBS.hinted_at.is_(None), *where)
        .order_by(*order)
        .limit(bindparam("each"))
        .subquery()
    )
    return select(jobs)


def waiting_partners_statement() -> Select[Any]:
    """
    Return the statement that lists the partners with waiting jobs after a name, in order.

    It jumps in the index from one partner to the next, and reads one entry of each.
    """
    waits = (waiting(), JOBS.hinted_at.is_(None))
    first = _next_partner(*waits, JOBS.partner_id > bindparam("after", type_=String()))
    found = select(first.label("partner_id")).cte("found", recursive=True)
    behind = JOBS.partner_id > literal_column("found.partner_id", String())
    following = select(_next_partner(*waits, behind)).where(found.c.partner_id.is_not(None))
    found = found.union_all(following.select_from(found))
    return (
        select(found.c.partner_id).where(found.c.partner_id.is_not(None)).limit(bindparam("most"))
    )


def _next_partner(*where: ColumnElement[bool]) -> ColumnElement[str]:
    one = select(JOBS.partner_id).where(*where).order_by(JOBS.partner_id).limit(1)
    return one.correlate(None).scalar_subquery()


def hint_statement() -> Executable:
    """Return the statement that stamps the jobs whose turn it is."""
    uids: BindParameter[str] = bindparam("uids", expanding=True)
    batch = a_batch(
        JOBS.partner_txn_uid.in_(uids), JOBS.next_attempt_at <= Now(), JOBS.hinted_at.is_(None)
    )
    return (
        update(cancel_jobs)
        .where(waiting(), in_batch(batch))
        .values(hinted_at=Now(), hints=JOBS.hints + 1)
        .returning(JOBS.partner_txn_uid, JOBS.expires_at, JOBS.next_attempt_at)
    )


def unhint_statement() -> Executable:
    """Return the statement that takes back stamps without a message."""
    uids: BindParameter[str] = bindparam("uids", expanding=True)
    return (
        update(cancel_jobs)
        .where(JOBS.partner_txn_uid.in_(uids), waiting(), JOBS.hinted_at.is_not(None))
        .values(hinted_at=None, hints=case((JOBS.hints > 0, JOBS.hints - 1), else_=0))
    )

"""The statements of the hints: what is due, whose turn it may be, the stamp that says so."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Executable,
    Float,
    Integer,
    Select,
    String,
    Subquery,
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

from worker.domain.turns import HOLDS, SUSPECT_AFTER
from worker.store.engine.elements import InQuery, Now, NowPlus, rows_of_list
from worker.store.jobs.batches import a_batch, in_batch
from worker.store.jobs.transitions import waiting
from worker.store.schema.tables import JOBS, cancel_jobs, partners

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
_NOT_OF_THE_GATE = (
    "partner_id",
    "reason",
    "credentials",
    "failures",
    "updated_at",
    "resumed_at",
)
_GATE = tuple(column for column in partners.c if column.name not in _NOT_OF_THE_GATE)
"""What says how many hints a partner may have; nothing of one that was never called."""
URGENCY = (JOBS.expires_at, JOBS.next_attempt_at)


def counts_statement() -> Executable:
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


def front_statement() -> Select[Any]:
    """
    Return the statement that reads the due jobs without a hint that are first in line.

    At most `each` past their expiry, before it, and without one: those that are past it may wait
    for the sweep to end them, and hold up nobody. With what the gate knows of their partners.
    """
    kinds = (JOBS.expires_at <= Now(), JOBS.expires_at > Now(), JOBS.expires_at.is_(None))
    front = union_all(*(_part(number, kind) for number, kind in enumerate(kinds))).subquery()
    return _with_partners(select(*front.c, *_GATE), front)


def _with_partners(chosen: Select[Any], rows: Subquery) -> Select[Any]:
    return chosen.select_from(rows.outerjoin(partners, partners.c.partner_id == rows.c.partner_id))


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

    It jumps in the index from one partner to the next, and reads one entry of each. With what the
    gate knows of them.
    """
    waits = (waiting(), JOBS.hinted_at.is_(None))
    first = _next_partner(*waits, JOBS.partner_id > bindparam("after", type_=String()))
    found = select(first.label("partner_id")).cte("found", recursive=True)
    behind = JOBS.partner_id > literal_column("found.partner_id", String())
    following = select(_next_partner(*waits, behind)).where(found.c.partner_id.is_not(None))
    found = found.union_all(following.select_from(found))
    names = select(found.c.partner_id).where(found.c.partner_id.is_not(None))
    listed = names.limit(bindparam("most")).subquery()
    chosen = select(listed.c.partner_id, *_GATE, Now().label("now"))
    return _with_partners(chosen, listed).order_by(listed.c.partner_id)


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

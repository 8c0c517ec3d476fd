"""The events for the order system: who may deliver them now, and the results."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Executable,
    String,
    bindparam,
    func,
    select,
    union_all,
    update,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from worker.domain.bounds import bounded_wait
from worker.domain.destinations import Destination
from worker.domain.events import OutboxState
from worker.store.engine.database import AnyRow, AnySelect, Database, rows_of
from worker.store.engine.elements import Bytewise, InList, Now, NowPlus, one_more
from worker.store.engine.prepared import Prepared
from worker.store.outbox.endpoints import short
from worker.store.schema.tables import outbox

EVENTS = outbox.c
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one destination, under a lease. `since` is its first try."""

    event_id: str
    destination: Destination
    uid: str
    body: str
    attempts: int
    lease_id: str
    since: datetime
    at: datetime


def _age(of: ReadOnlyColumnCollection[str, Any]) -> tuple[ColumnElement[Any], ...]:
    """Return the order of events by their age: the same in every database."""
    uid, name = Bytewise(of.partner_txn_uid), Bytewise(of.destination)
    return of.created_at, uid, of.number, name


class Outbox:
    """The statements about events. Each is one short transaction, not open during a delivery."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._claims = {
            retries: Prepared(database, claim_statement(retries=retries))
            for retries in (None, False, True)
        }
        mine = (
            EVENTS.event_id == bindparam("this_event_id", type_=String()),
            EVENTS.lease_id == bindparam("this_lease_id", type_=String()),
        )
        self._delivered = Prepared(database, delivered_statement())
        failed = update(outbox).where(*mine, *_still_waits()).returning(EVENTS.event_id)
        failed = failed.values(lease_id=None, fault=bindparam("fault", type_=String()))
        self._again = Prepared(database, failed.values(next_attempt_at=NowPlus("wait_seconds")))
        self._dead = Prepared(database, failed.values(state=OutboxState.DEAD, next_attempt_at=None))
        self._resend = (
            update(outbox)
            .where(
                EVENTS.event_id == bindparam("this_event_id"),
                EVENTS.state == bindparam("this_state"),
            )
            .values(
                state=OutboxState.WAITING,
                next_attempt_at=Now(),
                attempts=0,
                tried_at=None,
                delivered_at=None,
            )
            .returning(EVENTS.destination, EVENTS.partner_txn_uid)
        )

    def claim(
        self,
        destination: Destination,
        *,
        most: int,
        lease: timedelta,
        retries: bool | None = None,
    ) -> list[Delivery]:
        """
        Claim events that are due, for the time of the lease.

        Of the waiting events of one job only the earliest can be claimed. `retries` chooses those
        that were tried before, or those that were not. Those due longest come first.
        """
        params = {
            "this_destination": destination,
            "most": most,
            "lease_seconds": lease.total_seconds(),
            "lease_id": str(uuid4()),
        }
        return [_delivery(row) for row in self._claims[retries](**params)]

    def delivered(self, *deliveries: Delivery) -> None:
        """Record that the receiver has these events."""
        for destination in {delivery.destination for delivery in deliveries}:
            its = [each.event_id for each in deliveries if each.destination == destination]
            self._delivered(event_ids=its, this_destination=destination)

    def failed(self, delivery: Delivery, fault: str, *, wait: timedelta | None) -> None:
        """Record a failed delivery: the event is due again after the wait, or dead without one."""
        failed: dict[str, object] = {
            "this_event_id": delivery.event_id,
            "this_destination": delivery.destination,
            "this_lease_id": delivery.lease_id,
            "fault": short(fault),
        }
        if wait is None:
            self._dead(**failed)
        else:
            self._again(**failed, wait_seconds=bounded_wait(wait))

    def resend(self, connection: Connection, event_id: str) -> list[AnyRow]:
        """
        Let an event be delivered again: wherever it is dead, else wherever it was delivered.

        Return one row for each destination; none if the event is unknown or waits already.
        """
        event = {**self._database.times, "this_event_id": event_id}
        return next(
            filter(
                None,
                (
                    rows_of(connection, self._resend, {**event, "this_state": state})
                    for state in (OutboxState.DEAD, OutboxState.DELIVERED)
                ),
            ),
            [],
        )

    def events(
        self, *, state: OutboxState | None = None, uid: str | None = None, most: int = 100
    ) -> list[dict[str, Any]]:
        """Return events, the oldest first; without a filter those that are not delivered."""
        chosen = select(outbox).order_by(*_age(EVENTS)).limit(most)
        if uid is not None:
            own = chosen.where(EVENTS.partner_txn_uid == uid)
            rows = self._database.read(own if state is None else own.where(EVENTS.state == state))
        else:
            rows = self._database.read(
                _oldest([state] if state else [OutboxState.WAITING, OutboxState.DEAD], most)
            )
        return [row._asdict() for row in rows]

    def dead(self, *, page: int = PAGE) -> Iterator[list[str]]:
        """Yield the ids of dead events in pages, each id once."""
        after = ""
        while True:
            statement = (
                select(EVENTS.event_id)
                .distinct()
                .where(EVENTS.state == OutboxState.DEAD, EVENTS.event_id > after)
                .order_by(EVENTS.event_id)
                .limit(page)
            )
            rows = self._database.read(statement)
            if rows:
                yield [row.event_id for row in rows]
                after = rows[-1].event_id
            if len(rows) < page:
                return

    def can_be_resent(self, event_id: str) -> bool:
        """Say whether `resend` would change anything."""
        settled = select(EVENTS.event_id).where(
            EVENTS.state.in_((OutboxState.DEAD, OutboxState.DELIVERED))
        )
        return bool(self._database.read(settled.where(EVENTS.event_id == event_id)))


def _oldest(states: Iterable[OutboxState], most: int) -> AnySelect:
    """Return the statement that reads the oldest events in these states."""
    # One by one the index finds them in order; together all would be sorted.
    parts = [
        select(outbox)
        .where(EVENTS.destination == name, EVENTS.state == state)
        .order_by(*_age(EVENTS))
        .limit(most)
        .subquery()
        for state in states
        for name in Destination
    ]
    found = union_all(*map(select, parts)).subquery("found")
    return select(found).order_by(*_age(found.c)).limit(most)


def delivered_statement() -> Executable:
    """Return the statement of `Outbox.delivered`."""
    # A delivered event is delivered, even if another process holds the lease by now.
    return (
        update(outbox)
        .where(InList(EVENTS.event_id, "event_ids"), *_still_waits())
        .values(
            state=OutboxState.DELIVERED,
            delivered_at=Now(),
            next_attempt_at=None,
            lease_id=None,
            fault=None,
        )
        .returning(EVENTS.event_id)
    )


def _still_waits() -> tuple[ColumnElement[bool], ...]:
    here = EVENTS.destination == bindparam("this_destination", type_=String())
    return here, _waits(EVENTS.state)


def _waits(state: ColumnElement[str]) -> ColumnElement[bool]:
    """
    Return the condition of an event that is found by its key, or by its job.

    Not one that an index over the state serves: while PostgreSQL has no statistics yet, it would
    read all waiting events for each (measured: 34 ms instead of 1.3 with 8,000).
    """
    return func.coalesce(state, "") == OutboxState.WAITING


def claim_statement(*, retries: bool | None) -> Executable:
    """Return the statement of `Outbox.claim`."""
    earlier = outbox.alias("earlier")
    before = select(earlier.c.event_id).where(
        earlier.c.partner_txn_uid == EVENTS.partner_txn_uid,
        earlier.c.destination == EVENTS.destination,
        earlier.c.number < EVENTS.number,
        _waits(earlier.c.state),
    )
    this_destination: BindParameter[str] = bindparam("this_destination", type_=String())
    tried = {None: (), False: (EVENTS.attempts == 0,), True: (EVENTS.attempts > 0,)}[retries]
    due = (
        select(EVENTS.event_id)
        .where(
            EVENTS.destination == this_destination,
            EVENTS.state == OutboxState.WAITING,
            EVENTS.next_attempt_at <= Now(),
            *tried,
            ~before.correlate(outbox).exists(),
        )
        .order_by(EVENTS.next_attempt_at)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True, of=outbox)
        .cte("due")
    )
    return (
        update(outbox)
        .where(EVENTS.event_id.in_(select(due.c.event_id)), EVENTS.destination == this_destination)
        .values(
            next_attempt_at=NowPlus("lease_seconds"),
            attempts=one_more(EVENTS.attempts),
            tried_at=func.coalesce(EVENTS.tried_at, Now()),
            lease_id=bindparam("lease_id"),
        )
        .returning(*outbox.c, Now().label("now"))
    )


def _delivery(row: AnyRow) -> Delivery:
    return Delivery(
        event_id=row.event_id,
        destination=Destination(row.destination),
        uid=row.partner_txn_uid,
        body=row.body,
        attempts=row.attempts,
        lease_id=row.lease_id,
        since=row.tried_at,
        at=row.now,
    )

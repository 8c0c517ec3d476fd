"""What waits to be told to the order system: who may tell it now, and what came of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, bindparam, func, or_, select, update

from worker.destinations import Destination
from worker.models import endpoints, outbox
from worker.store.database import After, AnyRow, Database, Now, rows_of, storable

EVENTS = outbox.c
ENDPOINT = endpoints.c
LONGEST_FAULT = 200
COUNTED = 10_000
"""No count goes on for longer: a backlog of millions is as bad as one of thousands."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One event on its way by one destination, held under a lease. `since` is its first try."""

    event_id: str
    destination: Destination
    uid: str
    body: str
    attempts: int
    lease_id: str
    since: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a receiver stands: `rests` says that it is served not now; the rest says why."""

    destination: Destination
    rests: bool = False
    disabled: bool = False
    reason: str | None = None
    resume_at: datetime | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Glance:
    """One destination: events that wait, since when the oldest, and dead ones; to `COUNTED`."""

    endpoint: Endpoint
    waiting: int
    oldest: timedelta | None
    dead: int


class Outbox:
    """The statements about events. Each is one short transaction; none is open during a try."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._claim = _claim()
        this = (
            EVENTS.event_id == bindparam("event"),
            EVENTS.destination == bindparam("where_to"),
            EVENTS.state == "waiting",
        )
        mine = EVENTS.lease_id == bindparam("held")
        # Delivered is delivered, whoever holds it by now.
        self._delivered = (
            update(outbox)
            .where(*this)
            .values(
                state="delivered",
                delivered_at=Now(),
                next_attempt_at=None,
                lease_id=None,
                fault=None,
            )
        )
        failed: dict[str, Any] = {"lease_id": None, "fault": bindparam("why")}
        self._again = (
            update(outbox).where(*this, mine).values(next_attempt_at=After("wait"), **failed)
        )
        self._dead = (
            update(outbox).where(*this, mine).values(state="dead", next_attempt_at=None, **failed)
        )
        self._endpoint = select(endpoints, Now().label("now")).where(
            ENDPOINT.destination == bindparam("where_to")
        )
        self._calm = (
            update(endpoints)
            .where(
                ENDPOINT.destination == bindparam("where_to"),
                ENDPOINT.mode == "active",
                ENDPOINT.failures > 0,
            )
            .values(failures=0, reason=None, resume_at=None, updated_at=Now())
        )
        self._rest = self._upsert(mode="active", failures=bindparam("run"), resume_at=After("wait"))
        self._disable = self._upsert(mode="disabled", failures=0, resume_at=None)
        self._enable = (
            update(endpoints)
            .where(
                ENDPOINT.destination == bindparam("where_to"),
                or_(ENDPOINT.mode == "disabled", ENDPOINT.failures > 0),
            )
            .values(mode="active", failures=0, reason=None, resume_at=None, updated_at=Now())
            .returning(ENDPOINT.destination)
        )
        self._resend = (
            update(outbox)
            .where(EVENTS.event_id == bindparam("event"), EVENTS.state == bindparam("from_state"))
            .values(
                state="waiting",
                next_attempt_at=Now(),
                attempts=0,
                tried_at=None,
                delivered_at=None,
            )
            .returning(EVENTS.destination, EVENTS.partner_txn_uid)
        )

    def claim(self, destination: Destination, *, most: int, lease: timedelta) -> list[Parcel]:
        """
        Take events whose time has come, for as long as the lease; nobody else takes them.

        Of one job's events the earliest that waits is taken, and no other beside it.
        """
        params = {
            "where_to": destination,
            "most": most,
            "lease": lease.total_seconds(),
            "held": str(uuid4()),
        }
        return [_parcel(row) for row in self._database.run(self._claim, **params)]

    def delivered(self, parcel: Parcel) -> None:
        """Note that the receiver has the event."""
        self._database.run(self._delivered, **_key(parcel))

    def failed(self, parcel: Parcel, fault: str, *, wait: timedelta | None) -> None:
        """Note a try that failed: again after the wait, or dead where there is none."""
        why = {**_key(parcel), "held": parcel.lease_id, "why": _short(fault)}
        if wait is None:
            self._database.run(self._dead, **why)
        else:
            self._database.run(self._again, **why, wait=wait.total_seconds())

    def endpoint(self, destination: Destination) -> Endpoint:
        """Return how a receiver stands now."""
        rows = self._database.read(self._endpoint, where_to=destination)
        return _endpoint(rows[0]) if rows else Endpoint(destination)

    def calm(self, destination: Destination) -> None:
        """Note that the receiver took an event: a run of failures has ended."""
        self._database.run(self._calm, where_to=destination)

    def rest(self, destination: Destination, fault: str, *, run: int, wait: timedelta) -> None:
        """Let a receiver rest after so many failures in a row."""
        why = {"why": _short(fault), "run": run, "wait": wait.total_seconds()}
        self._database.run(self._rest, where_to=destination, **why)

    def disable(self, destination: Destination, fault: str) -> bool:
        """Serve a receiver no more until an operator says so; False where that is so already."""
        why = {"where_to": destination, "why": _short(fault)}
        return bool(self._database.run(self._disable, **why))

    def enable(self, connection: Connection, destination: Destination) -> Endpoint | None:
        """Serve a receiver again, at once; return how it stood, None where nothing changed."""
        where = {**self._database.times, "where_to": destination}
        rows = rows_of(connection, self._endpoint, where)
        done = rows_of(connection, self._enable, where)
        return _endpoint(rows[0]) if done else None

    def resend(self, connection: Connection, event_id: str) -> list[AnyRow]:
        """
        Let an event that is dead wait for its turn again; if none is, one that was delivered.

        Returns one row for each destination; none where it is not known, or waits.
        """
        event = {**self._database.times, "event": event_id}
        return next(
            filter(
                None,
                (
                    rows_of(connection, self._resend, {**event, "from_state": state})
                    for state in ("dead", "delivered")
                ),
            ),
            [],
        )

    def glance(self) -> list[Glance]:
        """Return how each destination stands that has ever been used."""
        with self._database.reading() as connection:
            return [*self._glances(connection)]

    def events(
        self, *, state: str | None = None, uid: str | None = None, most: int = 100
    ) -> list[dict[str, Any]]:
        """Return events with what came of them, the oldest first; of all that is not delivered."""
        order = (EVENTS.created_at, EVENTS.partner_txn_uid, EVENTS.number, EVENTS.destination)
        statement = select(outbox).order_by(*order).limit(most)
        if uid is not None:
            statement = statement.where(EVENTS.partner_txn_uid == uid)
        if state is not None:
            statement = statement.where(EVENTS.state == state)
        elif uid is None:
            statement = statement.where(EVENTS.state.in_(("waiting", "dead")))
        return [row._asdict() for row in self._database.read(statement)]

    def _glances(self, connection: Connection) -> Iterator[Glance]:
        times = self._database.times
        for destination in Destination:
            where = {**times, "where_to": destination, "most": COUNTED}
            rows = rows_of(connection, self._endpoint, where)
            ((waiting, oldest, now),) = rows_of(connection, _WAITING, where)
            ((dead,),) = rows_of(connection, _DEAD, where)
            if rows or waiting or dead:
                yield Glance(
                    _endpoint(rows[0]) if rows else Endpoint(destination),
                    waiting,
                    now - oldest if oldest else None,
                    dead,
                )

    def _upsert(self, **values: Any) -> Any:
        written = {"reason": bindparam("why"), "updated_at": Now(), **values}
        return (
            self._database.insert(endpoints)
            .values(destination=bindparam("where_to"), **written)
            .on_conflict_do_update(
                index_elements=["destination"],
                set_=written,
                where=ENDPOINT.mode == "active",  # what an operator alone may change stays
            )
            .returning(ENDPOINT.destination)
        )


def _capped(state: str) -> Any:
    of_one = (EVENTS.destination == bindparam("where_to"), EVENTS.state == state)
    return select(EVENTS.created_at).where(*of_one).limit(bindparam("most")).subquery()


_OLDEST = (
    select(func.min(EVENTS.created_at))
    .where(EVENTS.destination == bindparam("where_to"), EVENTS.state == "waiting")
    .scalar_subquery()
)
_WAITING = select(func.count(), _OLDEST, Now()).select_from(_capped("waiting"))
_DEAD = select(func.count()).select_from(_capped("dead"))


def _claim() -> Any:
    earlier = outbox.alias("earlier")
    before = select(earlier.c.event_id).where(
        earlier.c.partner_txn_uid == EVENTS.partner_txn_uid,
        earlier.c.destination == EVENTS.destination,
        earlier.c.number < EVENTS.number,
        earlier.c.state == "waiting",
    )
    where_to: Any = bindparam("where_to")
    due = (
        select(EVENTS.event_id)
        .where(
            EVENTS.destination == where_to,
            EVENTS.state == "waiting",
            EVENTS.next_attempt_at <= Now(),
            ~before.correlate(outbox).exists(),
        )
        .order_by(EVENTS.next_attempt_at)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True, of=outbox)
        .cte("due")
    )
    return (
        update(outbox)
        .where(EVENTS.event_id.in_(select(due.c.event_id)), EVENTS.destination == where_to)
        .values(
            next_attempt_at=After("lease"),
            attempts=EVENTS.attempts + 1,
            tried_at=func.coalesce(EVENTS.tried_at, Now()),
            lease_id=bindparam("held"),
        )
        .returning(*outbox.c, Now().label("now"))
    )


def _parcel(row: AnyRow) -> Parcel:
    return Parcel(
        event_id=row.event_id,
        destination=Destination(row.destination),
        uid=row.partner_txn_uid,
        body=row.body,
        attempts=row.attempts,
        lease_id=row.lease_id,
        since=row.tried_at,
        at=row.now,
    )


def _endpoint(row: AnyRow) -> Endpoint:
    disabled = row.mode == "disabled"
    return Endpoint(
        destination=Destination(row.destination),
        rests=disabled or (row.resume_at is not None and row.resume_at > row.now),
        disabled=disabled,
        reason=row.reason,
        resume_at=row.resume_at,
        failures=row.failures,
    )


def _key(parcel: Parcel) -> dict[str, Any]:
    return {"event": parcel.event_id, "where_to": parcel.destination}


def _short(fault: str) -> str:
    return storable(fault, LONGEST_FAULT)

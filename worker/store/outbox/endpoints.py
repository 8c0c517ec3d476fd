"""The destinations of outcomes: whether each is served now, and how many events wait for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Executable, Subquery, bindparam, func, or_, select, update

from worker.domain.bounds import LARGEST_COUNT, bounded_wait
from worker.domain.destinations import Destination, EndpointMode
from worker.domain.events import OutboxState
from worker.store.engine.database import AnyRow, Database, rows_of, storable
from worker.store.engine.elements import Now, NowPlus
from worker.store.schema.tables import endpoints, outbox

EVENTS = outbox.c
ENDPOINT = endpoints.c
LONGEST_FAULT = 200
COUNTED = 10_000
"""Counts stop here: a backlog of millions needs the same act as one of thousands."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The state of a destination: `is_resting` means not served now, and the others say why."""

    destination: Destination
    is_resting: bool = False
    mode: EndpointMode = EndpointMode.ACTIVE
    reason: str | None = None
    resume_at: datetime | None = None
    failures: int = 0

    @property
    def disabled(self) -> bool:
        """Whether an operator must enable it before it is served again."""
        return self.mode is EndpointMode.DISABLED


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """One destination: waiting events, the age of the oldest, dead events; up to `COUNTED`."""

    endpoint: Endpoint
    waiting: int
    oldest: timedelta | None
    dead: int


class Endpoints:
    """The statements about destinations; one that never failed has no row."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._endpoint = select(endpoints, Now().label("now")).where(
            ENDPOINT.destination == bindparam("this_destination")
        )
        self._record_success = (
            update(endpoints)
            .where(
                ENDPOINT.destination == bindparam("this_destination"),
                ENDPOINT.mode == EndpointMode.ACTIVE,
                ENDPOINT.failures > 0,
            )
            .values(failures=0, reason=None, resume_at=None, updated_at=Now())
        )
        self._back_off = self._upsert(
            mode=EndpointMode.ACTIVE,
            failures=bindparam("failures"),
            resume_at=NowPlus("wait_seconds"),
        )
        self._disable = self._upsert(mode=EndpointMode.DISABLED, failures=0, resume_at=None)
        self._enable = (
            update(endpoints)
            .where(
                ENDPOINT.destination == bindparam("this_destination"),
                or_(ENDPOINT.mode == EndpointMode.DISABLED, ENDPOINT.failures > 0),
            )
            .values(
                mode=EndpointMode.ACTIVE, failures=0, reason=None, resume_at=None, updated_at=Now()
            )
            .returning(ENDPOINT.destination)
        )

    def endpoint(self, destination: Destination) -> Endpoint:
        """Return the state of a destination."""
        rows = self._database.read(self._endpoint, this_destination=destination)
        return _endpoint(rows[0]) if rows else Endpoint(destination)

    def record_success(self, destination: Destination) -> None:
        """Record that the receiver took an event, which ends a run of failures."""
        self._database.run(self._record_success, this_destination=destination)

    def back_off(
        self, destination: Destination, fault: str, *, failures: int, wait: timedelta
    ) -> None:
        """Let a destination rest after so many failures in a row."""
        self._database.run(
            self._back_off,
            destination=destination,
            reason=short(fault),
            failures=min(failures, LARGEST_COUNT),
            wait_seconds=bounded_wait(wait),
        )

    def disable(self, destination: Destination, fault: str) -> bool:
        """Stop serving a destination until an operator enables it; return False if it was so."""
        rows = self._database.run(self._disable, destination=destination, reason=short(fault))
        return bool(rows)

    def enable(self, connection: Connection, destination: Destination) -> Endpoint | None:
        """Serve a destination again, at once; return its state before, None if nothing changed."""
        where = {**self._database.times, "this_destination": destination}
        rows = rows_of(connection, self._endpoint, where)
        done = rows_of(connection, self._enable, where)
        return _endpoint(rows[0]) if done else None

    def statuses(self) -> list[EndpointStatus]:
        """Return the status of each destination that has ever been used."""
        with self._database.reading() as connection:
            return [*self._statuses(connection)]

    def _statuses(self, connection: Connection) -> Iterator[EndpointStatus]:
        times = self._database.times
        for destination in Destination:
            where = {**times, "this_destination": destination, "most": COUNTED}
            rows = rows_of(connection, self._endpoint, where)
            ((waiting, oldest, now),) = rows_of(connection, _WAITING, where)
            ((dead,),) = rows_of(connection, _DEAD, where)
            if rows or waiting or dead:
                yield EndpointStatus(
                    _endpoint(rows[0]) if rows else Endpoint(destination),
                    waiting,
                    now - oldest if oldest else None,
                    dead,
                )

    def _upsert(self, **values: object) -> Executable:
        written = {"reason": bindparam("reason"), "updated_at": Now(), **values}
        return (
            self._database.insert(endpoints)
            .values(destination=bindparam("destination"), **written)
            .on_conflict_do_update(
                index_elements=["destination"],
                set_=written,
                # Only an operator may change a disabled one.
                where=ENDPOINT.mode == EndpointMode.ACTIVE,
            )
            .returning(ENDPOINT.destination)
        )


def _capped(state: OutboxState) -> Subquery:
    of_one = (EVENTS.destination == bindparam("this_destination"), EVENTS.state == state)
    return select(EVENTS.created_at).where(*of_one).limit(bindparam("most")).subquery()


_OLDEST = (
    select(func.min(EVENTS.created_at))
    .where(EVENTS.destination == bindparam("this_destination"), EVENTS.state == OutboxState.WAITING)
    .scalar_subquery()
)
_WAITING = select(func.count(), _OLDEST, Now()).select_from(_capped(OutboxState.WAITING))
_DEAD = select(func.count()).select_from(_capped(OutboxState.DEAD))


def _endpoint(row: AnyRow) -> Endpoint:
    mode = EndpointMode(row.mode)
    return Endpoint(
        destination=Destination(row.destination),
        is_resting=mode is EndpointMode.DISABLED
        or (row.resume_at is not None and row.resume_at > row.now),
        mode=mode,
        reason=row.reason,
        resume_at=row.resume_at,
        failures=row.failures,
    )


def short(fault: str) -> str:
    """Return a fault as it is stored."""
    return storable(fault, LONGEST_FAULT)

"""Who is told of outcomes: whether each receiver is served now, and how much waits for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, or_, select, update

from worker.domain.destinations import Destination, EndpointMode
from worker.domain.events import OutboxState
from worker.store.engine.database import AnyRow, Database, rows_of, storable
from worker.store.engine.elements import After, Now
from worker.store.schema.tables import endpoints, outbox

EVENTS = outbox.c
ENDPOINT = endpoints.c
LONGEST_FAULT = 200
COUNTED = 10_000
"""No count goes on for longer: a backlog of millions is as bad as one of thousands."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a receiver stands: `rests` says that it is served not now; the rest says why."""

    destination: Destination
    rests: bool = False
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
    """One destination: events that wait, since when the oldest, and dead ones; to `COUNTED`."""

    endpoint: Endpoint
    waiting: int
    oldest: timedelta | None
    dead: int


class Endpoints:
    """The statements about receivers; a receiver that never failed has no row."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._endpoint = select(endpoints, Now().label("now")).where(
            ENDPOINT.destination == bindparam("this_destination")
        )
        self._calm = (
            update(endpoints)
            .where(
                ENDPOINT.destination == bindparam("this_destination"),
                ENDPOINT.mode == EndpointMode.ACTIVE,
                ENDPOINT.failures > 0,
            )
            .values(failures=0, reason=None, resume_at=None, updated_at=Now())
        )
        self._rest = self._upsert(
            mode=EndpointMode.ACTIVE,
            failures=bindparam("failures"),
            resume_at=After("wait_seconds"),
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
        """Return how a receiver stands now."""
        rows = self._database.read(self._endpoint, this_destination=destination)
        return _endpoint(rows[0]) if rows else Endpoint(destination)

    def calm(self, destination: Destination) -> None:
        """Note that the receiver took an event: a run of failures has ended."""
        self._database.run(self._calm, this_destination=destination)

    def rest(self, destination: Destination, fault: str, *, failures: int, wait: timedelta) -> None:
        """Let a receiver rest after so many failures in a row."""
        self._database.run(
            self._rest,
            destination=destination,
            reason=short(fault),
            failures=failures,
            wait_seconds=wait.total_seconds(),
        )

    def disable(self, destination: Destination, fault: str) -> bool:
        """Serve a receiver no more until an operator says so; False where that is so already."""
        rows = self._database.run(self._disable, destination=destination, reason=short(fault))
        return bool(rows)

    def enable(self, connection: Connection, destination: Destination) -> Endpoint | None:
        """Serve a receiver again, at once; return how it stood, None where nothing changed."""
        where = {**self._database.times, "this_destination": destination}
        rows = rows_of(connection, self._endpoint, where)
        done = rows_of(connection, self._enable, where)
        return _endpoint(rows[0]) if done else None

    def glance(self) -> list[EndpointStatus]:
        """Return how each destination stands that has ever been used."""
        with self._database.reading() as connection:
            return [*self._glances(connection)]

    def _glances(self, connection: Connection) -> Iterator[EndpointStatus]:
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

    def _upsert(self, **values: Any) -> Any:
        written = {"reason": bindparam("reason"), "updated_at": Now(), **values}
        return (
            self._database.insert(endpoints)
            .values(destination=bindparam("destination"), **written)
            .on_conflict_do_update(
                index_elements=["destination"],
                set_=written,
                where=ENDPOINT.mode
                == EndpointMode.ACTIVE,  # what an operator alone may change stays
            )
            .returning(ENDPOINT.destination)
        )


def _capped(state: OutboxState) -> Any:
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
    disabled = mode is EndpointMode.DISABLED
    return Endpoint(
        destination=Destination(row.destination),
        rests=disabled or (row.resume_at is not None and row.resume_at > row.now),
        mode=mode,
        reason=row.reason,
        resume_at=row.resume_at,
        failures=row.failures,
    )


def short(fault: str) -> str:
    """Return what is kept of a fault."""
    return storable(fault, LONGEST_FAULT)

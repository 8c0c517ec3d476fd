"""
A statement with what its transaction begins with, and its end, in one round trip.

Behind a pooler nothing may be set but for one transaction, and a statement with parameters cannot
be one text with others. They are sent together instead, up to one Sync. psycopg's own pipelines
write each by itself, which costs more than the statements do, and add a Flush behind the Sync: a
pooler has given the session to the next client by then, and keeps another one for the Flush, for
ever, since no server answers it (PgBouncer 1.18, measured).
"""

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from psycopg import OperationalError, capabilities
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import DuplicatePreparedStatement, error_from_result
from psycopg.generators import fetch_many, send
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

if TYPE_CHECKING:
    from worker.store.engine.bounded_connection import BoundedConnection

BEGIN, COMMIT = "BEGIN", "COMMIT"
LOST = "the connection ended before everything was answered"
_PROBE = b"kplus_probe"
_IS_THERE = "SELECT 1 FROM pg_catalog.pg_prepared_statements WHERE name = 'kplus_probe'"
Names = dict[tuple[str, tuple[int, ...]], bytes]
"""What is prepared: the name of each statement, by its text and the types of its parameters."""


def execute(
    connection: "BoundedConnection",
    statement: str,
    values: Sequence[object],
    *,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> list[tuple[Any, ...]]:
    """
    Execute a statement between others, which have no parameters; return its rows.

    Raise the error of the first that fails; what comes after it is not executed.
    """
    transformer = Transformer(connection)
    given = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
    with _Trip(connection) as trip:
        for text in before:
            trip.send(text)
        place = trip.send(statement, given, transformer.types or (), transformer.formats or ())
        for text in after:
            trip.send(text)
    result = trip.results[place]
    transformer.set_pgresult(result)
    return transformer.load_rows(0, result.ntuples, tuple)


def keeps_names(connection: "BoundedConnection") -> bool:
    """
    Say whether the pooler lets each client have prepared statements of its own.

    PgBouncer does so from 1.21 on, if its `max_prepared_statements` is not 0: the server then
    knows a statement by another name than the client has given it.
    """
    if not capabilities.has_send_close_prepared():
        return False
    try:
        with _Trip(connection) as trip:
            trip.send(BEGIN)
            trip.prepare(_PROBE, "SELECT 1")
            place = trip.send(_IS_THERE)
            trip.forget(_PROBE)
            trip.send(COMMIT)
    except DuplicatePreparedStatement:
        connection.rollback()
        return False
    return trip.results[place].ntuples == 0


class _Trip:
    """Sends what its block says, as one; the results are there when the block has ended."""

    def __init__(self, connection: "BoundedConnection") -> None:
        self._connection, self._pgconn = connection, connection.pgconn
        self._names = connection.names
        self._new: dict[int, tuple[str, tuple[int, ...]]] = {}
        self._places = 0
        self.results: list[PGresult] = []

    def __enter__(self) -> Self:
        self._pgconn.enter_pipeline_mode()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._connection.close()  # it has been sent a part
            return
        try:
            self._pgconn.pipeline_sync()
            self.results = self._connection.wait(self._answers())
            self._pgconn.exit_pipeline_mode()
        except BaseException:
            # It is in the midst of answers that nobody waits for.
            self._connection.close()
            raise
        self._remember()
        for result in self.results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result)

    def send(
        self,
        text: str,
        values: Sequence[Any] | None = None,
        types: Sequence[int] = (),
        formats: Sequence[Any] = (),
    ) -> int:
        """Send a statement; return the place of its result."""
        if self._names is None:
            self._pgconn.send_query_params(
                text.encode(), values, param_types=types, param_formats=formats
            )
        else:
            name = self._named(self._names, text, tuple(types))
            self._pgconn.send_query_prepared(name, values, param_formats=formats)
        return self._next()

    def prepare(self, name: bytes, text: str, types: Sequence[int] = ()) -> int:
        """Send a statement that is to be prepared."""
        self._pgconn.send_prepare(name, text.encode(), param_types=types)
        return self._next()

    def forget(self, name: bytes) -> None:
        """Send that a prepared statement is done with."""
        self._pgconn.send_close_prepared(name)
        self._next()

    def _named(self, names: Names, text: str, types: tuple[int, ...]) -> bytes:
        key = (text, types)
        found = names.get(key)
        if found is None:
            found = names[key] = b"kplus_%d" % len(names)
            self._new[self.prepare(found, text, types)] = key
        return found

    def _next(self) -> int:
        self._places += 1
        return self._places - 1

    def _answers(self) -> PQGen[list[PGresult]]:
        yield from send(self._pgconn)
        found: list[PGresult] = []
        while True:
            answer = yield from fetch_many(self._pgconn)
            if not answer:
                raise OperationalError(LOST)
            if answer[0].status == ExecStatus.PIPELINE_SYNC:
                return found
            found.append(answer[0])

    def _remember(self) -> None:
        """Forget the names of what was not prepared, because something before it had failed."""
        if self._names is not None:
            for place, key in self._new.items():
                if self.results[place].status != ExecStatus.COMMAND_OK:
                    del self._names[key]

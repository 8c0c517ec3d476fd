"""The connections to a server: the one that was used last is used next."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from ssl import SSLContext
from typing import NamedTuple, Protocol, cast

import httpcore


class _Idle(NamedTuple):
    connection: httpcore.ConnectionInterface
    until: float


class Connections(httpcore.ConnectionPool):
    """
    httpcore's pool, at a cost that does not grow with the connections it holds.

    The original asks each of its connections how it is, with a system call for each idle one, when
    a request begins and again when it ends. Here only the one that is about to be used is asked.
    The caller sees to it that at most `most` requests are under way; idle connections make room
    for them. Thread-safe.
    """

    def __init__(
        self,
        *,
        ssl_context: SSLContext,
        most: int,
        idle_seconds: float,
        network_backend: httpcore.NetworkBackend,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """A connection that was idle for `idle_seconds` is not used again."""
        super().__init__(
            ssl_context=ssl_context,
            keepalive_expiry=idle_seconds,
            network_backend=network_backend,
        )
        self._most = most
        self._idle_seconds = idle_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._used: set[httpcore.ConnectionInterface] = set()
        self._idle: list[_Idle] = []
        """The one that was used last is the last."""
        self._closed = False

    @property
    def connections(self) -> list[httpcore.ConnectionInterface]:
        """The open connections, those in use first."""
        with self._lock:
            return [*self._used, *(idle.connection for idle in self._idle)]

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request on a connection that nobody else uses. Nothing is tried again."""
        connection = self._take(request.url.origin)
        try:
            response = connection.handle_request(request)
        except BaseException:
            self._end(connection)
            raise
        return httpcore.Response(
            response.status,
            headers=response.headers,
            content=_Body(cast("_Stream", response.stream), partial(self._end, connection)),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close all connections. A request under way ends with an error."""
        with self._lock:
            self._closed = True
            left = [*self._used, *(idle.connection for idle in self._idle)]
            self._idle.clear()
        for connection in left:
            connection.close()

    def _take(self, origin: httpcore.Origin) -> httpcore.ConnectionInterface:
        """Return the connection to this origin that was used last, or a new one."""
        while (connection := self._idle_one(origin)) is not None:
            if not connection.has_expired():
                return connection
            self._end(connection, reusable=False)  # the server has closed it
        return self._new(origin)

    def _idle_one(self, origin: httpcore.Origin) -> httpcore.ConnectionInterface | None:
        with self._lock:
            for place in reversed(range(len(self._idle))):
                connection = self._idle[place].connection
                if connection.can_handle_request(origin):
                    del self._idle[place]
                    self._used.add(connection)
                    return connection
        return None

    def _new(self, origin: httpcore.Origin) -> httpcore.ConnectionInterface:
        ended = []
        with self._lock:
            while self._idle and len(self._used) + len(self._idle) >= self._most:
                ended.append(self._idle.pop(0).connection)
            connection = self.create_connection(origin)
            self._used.add(connection)
        for each in ended:
            each.close()
        return connection

    def _end(self, connection: httpcore.ConnectionInterface, *, reusable: bool = True) -> None:
        """Keep a connection whose answer was read to its end; close any other."""
        # One that could not be opened says that it is idle, and that it is closed.
        reusable = reusable and connection.is_idle() and not connection.is_closed()
        now, ended = self._monotonic(), []
        with self._lock:
            self._used.discard(connection)
            while self._idle and self._idle[0].until <= now:
                ended.append(self._idle.pop(0).connection)
            if reusable and not self._closed:
                self._idle.append(_Idle(connection, until=now + self._idle_seconds))
            else:
                ended.append(connection)
        for each in ended:
            each.close()


class _Stream(Protocol):
    """The body of an answer, as httpcore gives it where nothing is asynchronous."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class _Body:
    """The body of an answer; `ended` is called once, after its connection was let go of."""

    def __init__(self, stream: _Stream, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._ended = ended
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            try:
                self._stream.close()
            finally:
                self._ended()

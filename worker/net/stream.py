"""One connection, each of whose operations gets the rest of the running deadline."""

import math
import select
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import httpcore

from worker.net.deadline import request_leaves, seconds_left
from worker.net.errors import AnswerUnfinished, TlsFailed, no_refusal, translated_errors
from worker.net.readiness import is_readable
from worker.net.tls_alerts import refusal, refused_in_handshake, refuses_late
from worker.net.tls_in_tls import TlsInTls

Done = TypeVar("Done")
Secured = ssl.SSLSocket | TlsInTls
Line = socket.socket | Secured

# Under this name `get_extra_info` says whether anything arrived since the last write.
ANSWERING = "answering"


class DeadlineStream(httpcore.NetworkStream):
    """One connection; each operation gets the rest of the running `Deadline`."""

    def __init__(self, connection: Line, *, may_refuse: bool = False) -> None:
        """`may_refuse`: the first thing read may be a refusal of our certificate."""
        # Non-blocking: setting a timeout for each operation costs as much as the operation.
        connection.setblocking(False)  # noqa: FBT003 -- its only argument
        self._socket = connection
        self._answering = False
        self._may_refuse = may_refuse

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """Return the next bytes, at most `max_bytes`; empty if the peer has closed."""
        timed_out = AnswerUnfinished if self._answering else httpcore.ReadTimeout
        refused = refusal if self._may_refuse else no_refusal
        with translated_errors(timed_out, httpcore.ReadError, refused=refused):
            if not _has_read_ahead(self._socket):
                _wait(self._socket, select.POLLIN)
            arrived = _when_ready(
                partial(self._socket.recv, max_bytes), self._socket, select.POLLIN
            )
        self._answering, self._may_refuse = True, False
        return arrived

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Send all of `buffer`, which is a part of a request."""
        request_leaves()
        self.send(buffer)

    def send(self, buffer: bytes) -> None:
        """Send all of `buffer`, which is no part of a request: it is for a proxy."""
        self._answering = False
        unsent = memoryview(buffer)
        with translated_errors(httpcore.WriteTimeout, httpcore.WriteError):
            while unsent:
                sent = _when_ready(partial(self._socket.send, unsent), self._socket, select.POLLOUT)
                unsent = unsent[sent:]

    def close(self) -> None:
        """Close the connection at once; a TLS shutdown could block."""
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the deadline replaces it
    ) -> "DeadlineStream":
        """Return this connection under TLS; the peer is verified as the context demands."""
        try:
            with translated_errors(httpcore.ConnectTimeout, TlsFailed):
                self._socket = secured = _secured(self._socket, ssl_context, server_hostname)
            refused = partial(refused_in_handshake, connection=secured)
            with translated_errors(httpcore.ConnectTimeout, TlsFailed, refused=refused):
                _when_ready(secured.do_handshake, secured, select.POLLIN)
        except BaseException:
            self.close()
            raise
        return DeadlineStream(secured, may_refuse=refuses_late(secured))

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks of a connection; None for anything else."""
        if info == "is_readable":
            return _is_readable(self._socket)
        if info == ANSWERING:
            return self._answering
        if info == "ssl_object" and isinstance(self._socket, Secured):
            return self._socket
        return self._socket if info == "socket" else None


def _secured(line: Line, context: ssl.SSLContext, name: str | None) -> Secured:
    """Return the line under TLS, before the handshake; inside another TLS if it is under TLS."""
    if isinstance(line, socket.socket) and not isinstance(line, ssl.SSLSocket):
        return context.wrap_socket(line, server_hostname=name, do_handshake_on_connect=False)
    return TlsInTls(line, context, name)


def _when_ready(operation: Callable[[], Done], connection: Line, ready: int) -> Done:
    """Run the operation when the connection is ready. Raises `TimeoutError` at the deadline."""
    while True:
        seconds_left()
        try:
            return operation()
        except BlockingIOError:
            _wait(connection, ready)
        except ssl.SSLWantReadError:  # TLS itself must read, or write below, first
            _wait(connection, select.POLLIN)
        except ssl.SSLWantWriteError:
            _wait(connection, select.POLLOUT)


def _wait(connection: Line, ready: int) -> None:
    """Wait until the connection is ready or has ended. Raises `TimeoutError` at the deadline."""
    poll = select.poll()
    poll.register(connection, ready)
    if not poll.poll(math.ceil(1000 * seconds_left())):
        raise TimeoutError("the deadline has passed")


def _has_read_ahead(connection: Line) -> bool:
    return isinstance(connection, (ssl.SSLSocket, TlsInTls)) and connection.pending() > 0


def _is_readable(connection: Line) -> bool:
    """
    Say whether a read would return at once.

    An idle connection that is readable was closed by the peer: httpcore checks this before it
    uses the connection again.
    """
    descriptor = connection.fileno()
    return descriptor < 0 or is_readable(descriptor)

"""
One deadline for a whole conversation over HTTP, however slowly the other side moves.

Timeouts of HTTP libraries bound each socket operation, so that a peer sending one byte
at a time holds a caller for as long as it likes. Here every operation gets what is left
of one deadline: connecting, TLS, sending, and each read of the answer.

The errors below are httpcore's own with a finer meaning, so that the libraries above
pass them through:

    httpcore.ConnectError
    ├── NameUnknown         the host name could not be resolved
    ├── TlsFailed           the TLS handshake failed
    ├── TlsUntrusted        the peer's certificate does not prove what it should
    └── TlsRefused          the peer refused our certificate, before it read anything
    httpcore.ReadTimeout
    └── AnswerUnfinished    the answer had begun to arrive when the deadline passed
    httpcore.ReadError
    └── TlsAlert            the peer ended TLS with an alert after the handshake
"""

import math
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import partial
from typing import Any, Self, TypeVar

import httpcore

from worker.net.readiness import is_readable
from worker.net.tls_alerts import refusal, refused_in_handshake, refuses_late

Done = TypeVar("Done")


class NameUnknown(httpcore.ConnectError):
    """The host name could not be resolved."""


class TlsFailed(httpcore.ConnectError):
    """The TLS handshake failed for another reason than trust."""


class TlsUntrusted(httpcore.ConnectError):
    """The peer's certificate does not prove that it is the host we asked for."""


class TlsRefused(httpcore.ConnectError):
    """The peer refused our certificate, or that there is none, before it read anything."""


class AnswerUnfinished(httpcore.ReadTimeout):
    """The answer had begun to arrive when the deadline passed."""


class TlsAlert(httpcore.ReadError):
    """The peer ended TLS with an alert after the handshake; it may have read what we sent."""


class Deadline:
    """
    A moment on the monotonic clock; within its `with` block, network calls end by it.

    It belongs to the thread that entered it, as one call of a synchronous client does:
    a kept-alive connection obeys the deadline of whoever uses it at the time.
    """

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._entered: list[Token[Deadline]] = []

    def left(self) -> float:
        """Return the seconds left; zero or less once the deadline has passed."""
        return self._ends - time.monotonic()

    def __enter__(self) -> Self:
        self._entered.append(_running.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _running.reset(self._entered.pop())


# Asked by this name, a `DeadlineStream` says whether anything arrived since its last write.
ANSWERING = "answering"

_running: ContextVar[Deadline] = ContextVar("deadline")


def _left() -> float:
    """Return what is left for the next operation; `TimeoutError` if that is nothing."""
    left = _running.get().left()
    if left <= 0:  # a socket with timeout 0 would not wait, a negative one is refused
        raise TimeoutError("the deadline has passed")
    return left


class DeadlineBackend(httpcore.NetworkBackend):
    """Opens TCP connections that obey the running `Deadline` all their life."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline stands in its place
        local_address: str | None = None,  # noqa: ARG002 - never set by us
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of `host` that answers in its share of the time."""
        with _failing_as(httpcore.ConnectTimeout, httpcore.ConnectError):
            connection = _dial(_addresses(host, port))
            # The request leaves in two writes; Nagle's algorithm would hold the second back.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for option in socket_options or ():
                connection.setsockopt(*option)
            return DeadlineStream(connection)


class DeadlineStream(httpcore.NetworkStream):
    """One connection; each operation gets what is left of the running `Deadline`."""

    def __init__(self, connection: socket.socket, *, may_refuse: bool = False) -> None:
        """`may_refuse`: the first thing read may be a refusal of our certificate."""
        # It never waits by itself: a timeout that is set anew costs as much as what it bounds.
        connection.setblocking(False)  # noqa: FBT003 -- its only argument
        self._socket = connection
        self._answering = False
        self._may_refuse = may_refuse

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """Return what has arrived, at most `max_bytes`; empty once the peer has closed."""
        late = AnswerUnfinished if self._answering else httpcore.ReadTimeout
        refused = refusal if self._may_refuse else _unrefused
        with _failing_as(late, httpcore.ReadError, refused=refused):
            if not _has_read_ahead(self._socket):
                _wait(self._socket, select.POLLIN)
            arrived = _done(partial(self._socket.recv, max_bytes), self._socket, select.POLLIN)
        self._answering, self._may_refuse = True, False
        return arrived

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Send all of `buffer`."""
        self._answering = False
        unsent = memoryview(buffer)
        with _failing_as(httpcore.WriteTimeout, httpcore.WriteError):
            while unsent:
                sent = _done(partial(self._socket.send, unsent), self._socket, select.POLLOUT)
                unsent = unsent[sent:]

    def close(self) -> None:
        """Close the connection, without a farewell that could block."""
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the deadline stands in its place
    ) -> httpcore.NetworkStream:
        """Return this connection under TLS, the peer verified as the context demands."""
        try:
            with _failing_as(httpcore.ConnectTimeout, TlsFailed):
                self._socket.settimeout(_left())
                self._socket = secured = ssl_context.wrap_socket(
                    self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
                )
            refused = partial(refused_in_handshake, line=secured)
            with _failing_as(httpcore.ConnectTimeout, TlsFailed, refused=refused):
                secured.do_handshake()
        except BaseException:
            self.close()
            raise
        return DeadlineStream(secured, may_refuse=refuses_late(secured))

    def get_extra_info(self, info: str) -> Any:
        """Answer what httpcore asks of a connection; None for anything else."""
        if info == "is_readable":
            return _is_readable(self._socket)
        if info == ANSWERING:
            return self._answering
        if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket):
            return self._socket
        return self._socket if info == "socket" else None


def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    # The resolver cannot be interrupted from Python: a name server that does not answer
    # holds the call beyond its deadline, for as long as the system's resolver waits
    # (`options timeout attempts` in resolv.conf). Nothing has been sent by then.
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: no IDNA form
        raise NameUnknown(str(error)) from error


def _dial(addresses: list[tuple[Any, ...]]) -> socket.socket:
    """Try each address in turn; one that never answers may not use up all the time."""
    failure: OSError = OSError("the name has no address")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        share = _left() / (len(addresses) - tried)
        try:
            connection = socket.socket(family, kind, protocol)
        except OSError as error:  # a family that this machine does not have
            failure = error
            continue
        try:
            connection.settimeout(share)
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _done(act: Callable[[], Done], connection: socket.socket, ready: int) -> Done:
    """Return what `act` returns, once the connection is ready for it; `TimeoutError` if not."""
    while True:
        _left()
        try:
            return act()
        except BlockingIOError:
            _wait(connection, ready)
        except ssl.SSLWantReadError:  # TLS has words of its own to hear, and to say
            _wait(connection, select.POLLIN)
        except ssl.SSLWantWriteError:
            _wait(connection, select.POLLOUT)


def _wait(connection: socket.socket, ready: int) -> None:
    """Return when the connection is ready, or has ended; `TimeoutError` at the deadline."""
    poll = select.poll()
    poll.register(connection, ready)
    if not poll.poll(math.ceil(1000 * _left())):
        raise TimeoutError("the deadline has passed")


def _has_read_ahead(connection: socket.socket) -> bool:
    return isinstance(connection, ssl.SSLSocket) and connection.pending() > 0


def _is_readable(connection: socket.socket) -> bool:
    """
    Say whether a read would return at once.

    An idle connection that is readable has been closed by the peer: httpcore asks this
    before it uses one again.
    """
    descriptor = connection.fileno()
    return descriptor < 0 or is_readable(descriptor)


def _unrefused(_: ssl.SSLError) -> None:
    """Find no refusal of our certificate in an error."""


@contextmanager
def _failing_as(
    late: type[Exception],
    failed: type[Exception],
    *,
    refused: Callable[[ssl.SSLError], str | None] = _unrefused,
) -> Iterator[None]:
    """
    Turn the system's errors into httpcore's; what is httpcore's already passes.

    `refused` finds the refusal of our certificate in an error, where it is one.
    """
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except ssl.SSLCertVerificationError as error:
        raise TlsUntrusted(error.verify_message or str(error)) from error
    except ssl.SSLError as error:
        if words := refused(error):
            raise TlsRefused(words) from error
        if failed is TlsFailed or "ALERT" not in (error.reason or ""):
            raise failed(str(error)) from error
        raise TlsAlert(error.reason) from error
    except (OSError, ValueError) as error:  # ValueError: a server name that TLS refuses
        raise failed(str(error)) from error

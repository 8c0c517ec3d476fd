"""
One deadline for a whole HTTP exchange, however slow the peer is.

Timeouts of HTTP libraries limit each socket operation: a peer that sends one byte at a time
can keep a caller waiting for as long as it likes. Here every operation gets the rest of one
deadline: connecting, TLS, sending, and each read of the answer.

The errors below are subclasses of httpcore's, so that httpx passes them through:

    httpcore.ConnectError
    ├── NameUnknown         the host name could not be resolved
    ├── TlsFailed           the TLS handshake failed
    ├── TlsUntrusted        the peer's certificate does not prove the host's identity
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
    """The TLS handshake failed, but not because of a certificate."""


class TlsUntrusted(httpcore.ConnectError):
    """The peer's certificate does not prove that it is the requested host."""


class TlsRefused(httpcore.ConnectError):
    """The peer refused our certificate, or that we have none, before it read anything."""


class AnswerUnfinished(httpcore.ReadTimeout):
    """The answer had begun to arrive when the deadline passed."""


class TlsAlert(httpcore.ReadError):
    """The peer ended TLS with an alert after the handshake; it may have read what we sent."""


class Deadline:
    """
    A time of the monotonic clock; network calls inside its `with` block end by then.

    It applies to the thread that entered it: a kept-alive connection obeys the deadline of
    the thread that uses it at the time.
    """

    def __init__(self, seconds: float, *, leaving: Callable[[], None] | None = None) -> None:
        """`leaving` is called once, before the first byte of a request is sent; it may raise."""
        self._ends = time.monotonic() + seconds
        self._leaving = leaving
        self._entered: list[Token[Deadline]] = []

    def left(self) -> float:
        """Return the seconds left; zero or less once the deadline has passed."""
        return self._ends - time.monotonic()

    def leave(self) -> None:
        """Call `leaving`, unless it was called before."""
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving()

    def __enter__(self) -> Self:
        self._entered.append(_running.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _running.reset(self._entered.pop())


# Under this name `get_extra_info` says whether anything arrived since the last write.
ANSWERING = "answering"

_running: ContextVar[Deadline] = ContextVar("deadline")


def _seconds_left() -> float:
    """Return the time left for the next operation. Raises `TimeoutError` if there is none."""
    left = _running.get().left()
    if left <= 0:  # a timeout of 0 would not wait, a negative one is an error
        raise TimeoutError("the deadline has passed")
    return left


class DeadlineBackend(httpcore.NetworkBackend):
    """Opens TCP connections that always obey the running `Deadline`."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline replaces it
        local_address: str | None = None,  # noqa: ARG002 - never set by us
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of `host` that answers within its share of the time."""
        with _translated_errors(httpcore.ConnectTimeout, httpcore.ConnectError):
            connection = _connect(_resolve(host, port))
            # The request is sent in two writes; Nagle's algorithm would delay the second.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for option in socket_options or ():
                connection.setsockopt(*option)
            return DeadlineStream(connection)


class DeadlineStream(httpcore.NetworkStream):
    """One connection; each operation gets the rest of the running `Deadline`."""

    def __init__(self, connection: socket.socket, *, may_refuse: bool = False) -> None:
        """`may_refuse`: the first thing read may be a refusal of our certificate."""
        # Non-blocking: setting a timeout for each operation costs as much as the operation.
        connection.setblocking(False)  # noqa: FBT003 -- its only argument
        self._socket = connection
        self._answering = False
        self._may_refuse = may_refuse

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """Return the next bytes, at most `max_bytes`; empty if the peer has closed."""
        timed_out = AnswerUnfinished if self._answering else httpcore.ReadTimeout
        refused = refusal if self._may_refuse else _no_refusal
        with _translated_errors(timed_out, httpcore.ReadError, refused=refused):
            if not _has_read_ahead(self._socket):
                _wait(self._socket, select.POLLIN)
            arrived = _when_ready(
                partial(self._socket.recv, max_bytes), self._socket, select.POLLIN
            )
        self._answering, self._may_refuse = True, False
        return arrived

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Send all of `buffer`."""
        _running.get().leave()
        self._answering = False
        unsent = memoryview(buffer)
        with _translated_errors(httpcore.WriteTimeout, httpcore.WriteError):
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
    ) -> httpcore.NetworkStream:
        """Return this connection under TLS; the peer is verified as the context demands."""
        try:
            with _translated_errors(httpcore.ConnectTimeout, TlsFailed):
                self._socket.settimeout(_seconds_left())
                self._socket = secured = ssl_context.wrap_socket(
                    self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
                )
            refused = partial(refused_in_handshake, connection=secured)
            with _translated_errors(httpcore.ConnectTimeout, TlsFailed, refused=refused):
                secured.do_handshake()
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
        if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket):
            return self._socket
        return self._socket if info == "socket" else None


def _resolve(host: str, port: int) -> list[tuple[Any, ...]]:
    # The resolver cannot be interrupted from Python: if the name server does not answer, the
    # call lasts beyond its deadline, until the system's resolver gives up
    # (`options timeout attempts` in resolv.conf). Nothing has been sent by then.
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: no IDNA form
        raise NameUnknown(str(error)) from error


def _connect(addresses: list[tuple[Any, ...]]) -> socket.socket:
    """Try each address in turn; one that never answers gets only its share of the time."""
    failure: OSError = OSError("the name has no address")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        share = _seconds_left() / (len(addresses) - tried)
        try:
            connection = socket.socket(family, kind, protocol)
        except OSError as error:  # an address family that this machine lacks
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


def _when_ready(operation: Callable[[], Done], connection: socket.socket, ready: int) -> Done:
    """Run the operation when the connection is ready. Raises `TimeoutError` at the deadline."""
    while True:
        _seconds_left()
        try:
            return operation()
        except BlockingIOError:
            _wait(connection, ready)
        except ssl.SSLWantReadError:  # TLS itself must read, or write below, first
            _wait(connection, select.POLLIN)
        except ssl.SSLWantWriteError:
            _wait(connection, select.POLLOUT)


def _wait(connection: socket.socket, ready: int) -> None:
    """Wait until the connection is ready or has ended. Raises `TimeoutError` at the deadline."""
    poll = select.poll()
    poll.register(connection, ready)
    if not poll.poll(math.ceil(1000 * _seconds_left())):
        raise TimeoutError("the deadline has passed")


def _has_read_ahead(connection: socket.socket) -> bool:
    return isinstance(connection, ssl.SSLSocket) and connection.pending() > 0


def _is_readable(connection: socket.socket) -> bool:
    """
    Say whether a read would return at once.

    An idle connection that is readable was closed by the peer: httpcore checks this before it
    uses the connection again.
    """
    descriptor = connection.fileno()
    return descriptor < 0 or is_readable(descriptor)


def _no_refusal(_: ssl.SSLError) -> None:
    """Return None: this error is no refusal of our certificate."""


@contextmanager
def _translated_errors(
    timed_out: type[Exception],
    failed: type[Exception],
    *,
    refused: Callable[[ssl.SSLError], str | None] = _no_refusal,
) -> Iterator[None]:
    """
    Translate the system's errors into httpcore's; errors of httpcore pass unchanged.

    `refused` returns the refusal of our certificate if the error is one, else None.
    """
    try:
        yield
    except TimeoutError as error:
        raise timed_out(str(error)) from error
    except ssl.SSLCertVerificationError as error:
        raise TlsUntrusted(error.verify_message or str(error)) from error
    except ssl.SSLError as error:
        if refusal_text := refused(error):
            raise TlsRefused(refusal_text) from error
        if failed is TlsFailed or "ALERT" not in (error.reason or ""):
            raise failed(str(error)) from error
        raise TlsAlert(error.reason) from error
    except (OSError, ValueError) as error:  # ValueError: a server name that TLS does not accept
        raise failed(str(error)) from error

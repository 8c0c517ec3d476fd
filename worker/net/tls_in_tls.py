"""TLS inside TLS: the bank behind a proxy that is itself spoken to over TLS."""

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

_RECORD = 1 << 14
"""No record of TLS holds more (RFC 8446, section 5.1)."""
Done = TypeVar("Done")


class TlsInTls:
    """
    A TLS connection over another one, as `ssl.SSLSocket` cannot be.

    It has the methods of a socket that does not block: an operation that must wait raises
    `SSLWantReadError` or `SSLWantWriteError`, and is then tried again with the same arguments.
    """

    def __init__(
        self, outer: "ssl.SSLSocket | TlsInTls", context: ssl.SSLContext, name: str | None
    ) -> None:
        self._outer = outer
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._inner = context.wrap_bio(self._arrived, self._leaving, server_hostname=name)
        self._unsent = b""
        self._taken: int | None = None
        """How much of the data that is being sent is under TLS already."""

    def do_handshake(self) -> None:
        """Shake hands with the inner peer, which is verified as its context demands."""
        self._exchange(self._inner.do_handshake)
        self._flush()

    def recv(self, most: int) -> bytes:
        """Return what has arrived; empty if the peer has closed."""
        try:
            return self._exchange(lambda: self._inner.read(most))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def send(self, data: Any) -> int:
        """Send some of the data; return how much was sent."""
        if self._taken is None:
            self._taken = self._exchange(lambda: self._inner.write(data))
        self._flush()
        sent, self._taken = self._taken, None
        return sent

    def pending(self) -> int:
        """Return how much has arrived that `recv` has not returned: 0 if nothing has."""
        return self._inner.pending() + self._arrived.pending + self._outer.pending()

    def cipher(self) -> tuple[str, str, int] | None:
        """Return the cipher of the inner connection, None before one is chosen."""
        return self._inner.cipher()

    def version(self) -> str | None:
        """Return the version of the inner TLS."""
        return self._inner.version()

    def selected_alpn_protocol(self) -> str | None:
        """Return the protocol that was agreed on inside."""
        return self._inner.selected_alpn_protocol()

    def getpeercert(self) -> dict[str, Any] | None:
        """Return the certificate of the inner peer."""
        return self._inner.getpeercert()

    def fileno(self) -> int:
        """Return the descriptor of the connection below; negative once it is closed."""
        return self._outer.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - as a socket has it
        """Pass it on to the connection below."""
        self._outer.setblocking(flag)

    def close(self) -> None:
        """Close the connection below at once."""
        self._outer.close()

    def _exchange(self, operation: Callable[[], Done]) -> Done:
        """Run an operation of TLS, with what it wants to send and to read."""
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                self._flush()
                self._fetch()
            except ssl.SSLError:
                with suppress(OSError):
                    self._flush()  # the alert that says why
                raise

    def _flush(self) -> None:
        self._unsent += self._leaving.read()
        while self._unsent:
            self._unsent = self._unsent[self._outer.send(self._unsent) :]

    def _fetch(self) -> None:
        if arrived := self._outer.recv(_RECORD):
            self._arrived.write(arrived)
        else:
            self._arrived.write_eof()

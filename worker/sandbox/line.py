"""One client's connection: bytes out, patience, hanging up, and noticing that the client did."""

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

# Told apart from data that merely waits: the other side has shut its end.
_HANGUP = getattr(select, "POLLRDHUP", 0)
_ENDED = _HANGUP | select.POLLHUP | select.POLLERR | select.POLLNVAL
_SLICE_SECONDS = 0.01
_LAST_WORDS_SECONDS = 0.5


class ClientLeft(Exception):
    """The client hung up while the bank was still busy with it."""


class Stopping(Exception):
    """The bank is being stopped."""


def last_words(sock: socket.socket) -> None:
    """
    End our half of the line and hear the client out for a moment.

    Closed with something unread, the line would be reset, and the last word lost with it.
    """
    socket.socket.shutdown(sock, socket.SHUT_WR)
    sock.settimeout(_LAST_WORDS_SECONDS)
    while socket.socket.recv(sock, 65_536):
        pass


class Line:
    """The bank's end of one connection."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self._sock = sock
        self._stopping = stopping
        self._closing = threading.Lock()
        self.idle = True

    def receive(self) -> bytes:
        """Return what came, or nothing once the client has closed the line."""
        try:
            return self._sock.recv(65_536)
        except OSError:
            return b""

    def send(self, data: bytes) -> None:
        """Send all of it, or learn that the client has left."""
        try:
            self._sock.sendall(data)
        except OSError:
            raise ClientLeft from None

    def gone(self, within: float = 0.0) -> bool:
        """Say whether the client has hung up, now or within so many seconds."""
        number = self._sock.fileno()
        if number < 0:
            return True
        # One poll object per question: two threads may ask at once, and would share none.
        poll = select.poll()
        poll.register(number, _HANGUP)
        return any(event & _ENDED for _, event in poll.poll(within * 1000))

    def wait(
        self,
        seconds: float | None,
        *,
        until: Callable[[], bool] = lambda: False,
        on_leaving: Callable[[], None] = lambda: None,
        patient: bool = False,
    ) -> None:
        """
        Wait so long, or until something holds; without seconds, for ever.

        A client that hangs up ends the wait, unless the bank is patient: then it is only noted.
        """
        end = None if seconds is None else time.monotonic() + seconds
        left = False
        while not until():
            rest = _SLICE_SECONDS if end is None else min(_SLICE_SECONDS, end - time.monotonic())
            if rest <= 0:
                return
            if self._stopping.is_set():
                raise Stopping
            if left:
                self._stopping.wait(rest)
            elif self.gone(rest):
                left = True
                on_leaving()
                if not patient:
                    raise ClientLeft

    def reset(self) -> None:
        """Drop the line with a TCP reset."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close()

    def hang_up(self) -> None:
        """Close the line in good order: what was sent still arrives."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._close()

    def part(self) -> None:
        """Close the line so that a last word arrives, though the client may still be talking."""
        with contextlib.suppress(OSError):
            last_words(self._sock)
        self._close()

    def wake(self) -> None:
        """End a blocking read of another thread: that thread then closes the line."""
        with contextlib.suppress(OSError):
            # The plain method: that of a TLS socket would pull the rug from under the reader.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _close(self) -> None:
        with self._closing:
            self._sock.close()

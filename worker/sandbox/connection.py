"""One client's connection: send, wait, close, and notice that the client has left."""

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

# Unlike data that waits to be read: the other side has closed its end.
_HANGUP = getattr(select, "POLLRDHUP", 0)
_ENDED = _HANGUP | select.POLLHUP | select.POLLERR | select.POLLNVAL
_SLICE_SECONDS = 0.01
_DRAIN_SECONDS = 0.5


class ClientLeft(Exception):
    """The client closed the connection before its answer was complete."""


class Stopping(Exception):
    """The bank is being stopped."""


def shut_down_and_drain(sock: socket.socket) -> None:
    """
    Close our half of the connection, and read the rest of the client's bytes for a moment.

    A close with unread bytes would reset the connection, and the last answer would be lost.
    """
    socket.socket.shutdown(sock, socket.SHUT_WR)
    sock.settimeout(_DRAIN_SECONDS)
    while socket.socket.recv(sock, 65_536):
        pass


class Connection:
    """The bank's end of one connection."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self._sock = sock
        self._stopping = stopping
        self._closing = threading.Lock()
        self.idle = True

    def receive(self) -> bytes:
        """Return the next bytes, or none if the client has closed the connection."""
        try:
            return self._sock.recv(65_536)
        except OSError:
            return b""

    def send(self, data: bytes) -> None:
        """Send all of it. Raises `ClientLeft`."""
        try:
            self._sock.sendall(data)
        except OSError:
            raise ClientLeft from None

    def has_left(self, within: float = 0.0) -> bool:
        """Say whether the client has left, now or within so many seconds."""
        number = self._sock.fileno()
        if number < 0:
            return True
        # One poll object per call: two threads may ask at once, and cannot share one.
        poll = select.poll()
        poll.register(number, _HANGUP)
        return any(event & _ENDED for _, event in poll.poll(within * 1000))

    def wait(
        self,
        seconds: float | None,
        *,
        until: Callable[[], bool] = lambda: False,
        on_leaving: Callable[[], None] = lambda: None,
        ignore_leaving: bool = False,
    ) -> None:
        """
        Wait so many seconds, or until a condition holds; with None, for ever.

        If the client leaves, `on_leaving` is called, and the wait ends with `ClientLeft` unless
        `ignore_leaving` is set.
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
            elif self.has_left(rest):
                left = True
                on_leaving()
                if not ignore_leaving:
                    raise ClientLeft

    def reset(self) -> None:
        """Drop the connection with a TCP reset."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close()

    def close(self) -> None:
        """Close the connection; sent bytes still arrive."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._close()

    def close_after_answer(self) -> None:
        """Close so that the last answer arrives, even if the client is still sending."""
        with contextlib.suppress(OSError):
            shut_down_and_drain(self._sock)
        self._close()

    def interrupt(self) -> None:
        """End a blocking read of another thread, which then closes the connection."""
        with contextlib.suppress(OSError):
            # The plain method: that of a TLS socket would break the other thread's read.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _close(self) -> None:
        with self._closing:
            self._sock.close()

"""Connections to Redis that are checked before each use with one system call."""

import ssl
from functools import lru_cache
from typing import Any

from redis._parsers.socket import SocketBuffer

from worker.net.readiness import is_readable


@lru_cache
def with_fast_can_read(kind: type[Any]) -> type[Any]:
    """
    Return the connection class with a faster check whether data can be read.

    redis-py checks before each command, twice a message: it removes the timeout, tries to read,
    and restores the timeout. At each of these steps another thread may run first.
    """

    class Connection(kind):  # type: ignore[misc]
        def can_read(self, timeout: float = 0) -> bool:
            """Say whether data has arrived, or the connection was closed."""
            return not (timeout == 0 and self._is_quiet()) and bool(super().can_read(timeout))

        def _is_quiet(self) -> bool:
            """Return True if surely nothing can be read. Under TLS one check cannot know."""
            socket, read_ahead = self._sock, getattr(self._parser, "_buffer", None)
            if socket is None or isinstance(socket, ssl.SSLSocket):
                return False
            if not isinstance(read_ahead, SocketBuffer) or read_ahead.unread_bytes():
                return False
            return not is_readable(socket.fileno())

    return Connection

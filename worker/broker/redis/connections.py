"""Connections to Redis that are looked at before each use with one call of the system."""

import ssl
from functools import lru_cache
from typing import Any

from redis._parsers.socket import SocketBuffer

from worker.net.readiness import is_readable


@lru_cache
def quick(kind: type[Any]) -> type[Any]:
    """
    Return the connection class with a quicker look at whether something is to be read.

    redis-py looks whenever a command begins, twice a message: it takes the timeout away, reads in
    vain and puts the timeout back; each of these lets another thread go first.
    """

    class Connection(kind):  # type: ignore[misc]
        def can_read(self, timeout: float = 0) -> bool:
            """Say whether something has arrived, or the connection was closed."""
            return not (timeout == 0 and self._is_quiet()) and bool(super().can_read(timeout))

        def _is_quiet(self) -> bool:
            """Say that nothing is there, where one look can tell: not so under TLS."""
            socket, read_ahead = self._sock, getattr(self._parser, "_buffer", None)
            if socket is None or isinstance(socket, ssl.SSLSocket):
                return False
            if not isinstance(read_ahead, SocketBuffer) or read_ahead.unread_bytes():
                return False
            return not is_readable(socket.fileno())

    return Connection

"""
Connecting to a name that has several addresses, some of which may be dead (RFC 8305).

An address that is dead does not refuse: it says nothing, until the deadline. So the next one is
tried beside it after a quarter of a second, and the first that answers is used.
"""

import math
import os
import select
import socket
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any

from worker.net.deadline import seconds_left
from worker.net.errors import NameUnknown

DELAY = 0.25
"""Seconds after which the next address is tried beside those before (RFC 8305, section 5)."""

Found = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""What the system's resolver says of an address; the last is the address itself."""


class Dialer:
    """Connects to names, and remembers for each the address that answered last. Thread-safe."""

    def __init__(self) -> None:
        self._answered: dict[tuple[str, int], Any] = {}

    def dial(self, host: str, port: int) -> socket.socket:
        """
        Return a connection to the first address that answers. Its socket does not block.

        Raises `NameUnknown`, the error of the last address, or `TimeoutError` at the deadline.
        """
        found = _resolved(host, port)
        if len(found) > 1:
            remembered = self._answered.get((host, port))
            found = sorted(_interleaved(found), key=lambda each: each[4] != remembered)
        connection, address = _Race(found).run()
        self.remember(host, port, address)
        return connection

    def remember(self, host: str, port: int, address: Any) -> None:
        """Try this address of a name first from now on."""
        self._answered[host, port] = address


def _resolved(host: str, port: int) -> list[Found]:
    # The resolver cannot be interrupted from Python: if the name server does not answer, the
    # call lasts beyond its deadline, until the system's resolver gives up
    # (`options timeout attempts` in resolv.conf). Nothing has been sent by then.
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: no IDNA form
        raise NameUnknown(str(error)) from error


def _interleaved(found: Iterable[Found]) -> list[Found]:
    """Return the addresses with the two families in turn, the preferred one first."""
    families: dict[int, list[Found]] = {}
    for each in found:
        families.setdefault(each[0], []).append(each)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [each for each in turns if each is not None]


class _Race:
    """The attempts to connect to the addresses of one name."""

    def __init__(self, found: list[Found]) -> None:
        self._waiting = list(reversed(found))
        self._under_way: dict[int, tuple[socket.socket, Any]] = {}
        self._poll = select.poll()
        self._failure: OSError = OSError("the name has no address")

    def run(self) -> tuple[socket.socket, Any]:
        """Return the first connection that is made, and its address; the others are closed."""
        try:
            while self._waiting or self._under_way:
                self._begin_one()
                if (won := self._first_of_those_under_way()) is not None:
                    return won
        finally:
            for connection, _ in self._under_way.values():
                connection.close()
        raise self._failure

    def _begin_one(self) -> None:
        """Begin with the next address that can be tried at all, if there is one."""
        while self._waiting:
            family, kind, protocol, _, address = self._waiting.pop()
            try:
                connection = socket.socket(family, kind, protocol)
            except OSError as error:  # an address family that this machine lacks
                self._failure = error
                continue
            connection.setblocking(False)  # noqa: FBT003 - its only argument
            try:
                connection.connect(address)
            except BlockingIOError:
                pass
            except OSError as error:
                connection.close()
                self._failure = error
                continue
            self._under_way[connection.fileno()] = (connection, address)
            self._poll.register(connection, select.POLLOUT)
            return

    def _first_of_those_under_way(self) -> tuple[socket.socket, Any] | None:
        """
        Return a connection that is made, None where the next address is to be tried.

        That is so after `DELAY`, or as soon as one has failed.
        """
        if not self._under_way:
            return None
        left = seconds_left()
        pause = min(DELAY, left / (len(self._waiting) + 1)) if self._waiting else left
        ready = self._poll.poll(math.ceil(1000 * pause))
        if not ready and not self._waiting:
            raise TimeoutError("the deadline has passed")
        for descriptor, _ in ready:
            connection, address = self._under_way.pop(descriptor)
            self._poll.unregister(descriptor)
            fault = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not fault:
                return connection, address
            connection.close()
            self._failure = OSError(fault, os.strerror(fault))
        return None

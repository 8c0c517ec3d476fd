"""One rule says whether a connection has something to be read: bank, Redis, PostgreSQL use it."""

import socket

from worker.net.readiness import is_readable


def test_a_quiet_connection_is_not_readable_and_one_with_data_is() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not is_readable(ours.fileno())
        theirs.sendall(b"x")
        assert is_readable(ours.fileno())
        assert ours.recv(2) == b"x"


def test_a_connection_that_the_peer_closed_is_readable() -> None:
    """Reading it returns at once, with nothing: it must not be used again."""
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        assert is_readable(ours.fileno())

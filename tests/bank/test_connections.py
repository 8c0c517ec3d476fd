"""Connections are used again, the last one first, and none is asked in vain."""

import socket
import ssl
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import httpcore
import pytest

from tests.bank.conftest import MakePeer
from tests.bank.peer import Conversation, Peer, answering, hearing_then, http, saying
from tests.servers.waiting import LIMIT, eventually
from worker.net.backend import DeadlineBackend
from worker.net.connections import Connections
from worker.net.deadline import Deadline

HEADERS = [(b"Host", b"peer")]
IDLE = 10.0
MOST = 8


class Watched(httpcore.NetworkStream):
    """A connection that counts how often it is asked whether its peer has closed it."""

    def __init__(self, stream: httpcore.NetworkStream, seen: Counter[str]) -> None:
        self._stream, self._seen = stream, seen

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._seen["closed"] += 1
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        self._seen[info] += 1
        return self._stream.get_extra_info(info)


class Watching(DeadlineBackend):
    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def connect_tcp(self, *given: Any, **named: Any) -> Any:
        self.seen["opened"] += 1
        return Watched(super().connect_tcp(*given, **named), self.seen)


class Pool:
    """Connections on a network that is watched, and a clock that is set by hand."""

    def __init__(self, most: int = MOST) -> None:
        self.now = 0.0
        self.network = Watching()
        self.connections = Connections(
            ssl_context=ssl.create_default_context(),
            most=most,
            idle_seconds=IDLE,
            network_backend=self.network,
            monotonic=lambda: self.now,
        )

    @property
    def seen(self) -> Counter[str]:
        return self.network.seen

    def begin(self, peer: Peer | str) -> httpcore.Response:
        """Send a request, and read the head of its answer."""
        url = peer if isinstance(peer, str) else peer.url
        return self.connections.handle_request(httpcore.Request("GET", url, headers=HEADERS))

    def ask(self, peer: Peer | str) -> bytes:
        """Send a request, and read all of its answer."""
        return finished(self.begin(peer))


def finished(response: httpcore.Response) -> bytes:
    assert isinstance(response.stream, Iterable)
    try:
        return b"".join(response.stream)
    finally:
        response.close()


@pytest.fixture(autouse=True)
def within_a_deadline() -> Iterator[None]:
    with Deadline(LIMIT):
        yield


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool()
    with closing(made.connections):
        yield made


def test_one_after_another_they_share_a_connection(serve: MakePeer, pool: Pool) -> None:
    peer = serve(answering(http()))
    answers = {pool.ask(peer) for _ in range(5)}
    assert (len(answers), pool.seen["opened"], len(pool.connections.connections)) == (1, 1, 1)


def test_a_request_looks_at_no_connection_but_its_own(serve: MakePeer, pool: Pool) -> None:
    peer = serve(answering(http()))
    for response in [pool.begin(peer) for _ in range(MOST)]:
        finished(response)
    assert (pool.seen["opened"], len(pool.connections.connections)) == (MOST, MOST)
    pool.seen.clear()
    for _ in range(3):
        pool.ask(peer)
    assert pool.seen == {"is_readable": 3}


def test_what_the_server_has_closed_is_not_used_again(serve: MakePeer, pool: Pool) -> None:
    once = serve(hearing_then(saying(http())))  # and it hangs up
    for response in [pool.begin(once) for _ in range(3)]:
        finished(response)
    idle = pool.connections.connections
    eventually(lambda: all(connection.has_expired() for connection in idle))
    pool.seen.clear()
    pool.ask(once)
    assert (pool.seen["opened"], pool.seen["closed"]) == (1, 3)
    assert len(pool.connections.connections) == 1


def test_idle_connections_end_with_the_next_request(serve: MakePeer, pool: Pool) -> None:
    peer = serve(answering(http()))
    for response in [pool.begin(peer) for _ in range(4)]:
        finished(response)
    pool.now = IDLE
    pool.ask(peer)
    assert (pool.seen["closed"], len(pool.connections.connections)) == (3, 1)


def test_an_idle_connection_to_another_server_makes_room(serve: MakePeer) -> None:
    first, second = (serve(answering(http())) for _ in range(2))
    pool = Pool(most=2)
    with closing(pool.connections):
        for response in [pool.begin(first), pool.begin(first)]:
            finished(response)
        held = pool.begin(second)
        assert (pool.seen["closed"], len(pool.connections.connections)) == (1, 2)
        pool.ask(second)
        assert (pool.seen["closed"], len(pool.connections.connections)) == (2, 2)
        finished(held)
        assert len(pool.connections.connections) == 2


def test_a_server_that_is_not_there_leaves_nothing(serve: MakePeer, pool: Pool) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as left:
        gone = f"http://127.0.0.1:{left.getsockname()[1]}/"
    with pytest.raises(httpcore.ConnectError):
        pool.ask(gone)
    assert pool.connections.connections == []
    assert pool.ask(serve(answering(http())))


@pytest.mark.parametrize("is_read", [True, False])
def test_a_connection_with_an_answer_that_was_not_read_is_closed(
    serve: MakePeer, pool: Pool, *, is_read: bool
) -> None:
    head, body = http().split(b"\r\n\r\n")
    cut = head + b"\r\n\r\n" + body[:-1]

    def say(talk: Conversation) -> None:
        talk.say(cut)

    peer = serve(hearing_then(say) if is_read else hearing_then(say, Conversation.wait))
    response = pool.begin(peer)
    if is_read:
        with pytest.raises(httpcore.RemoteProtocolError):
            finished(response)
    response.close()
    assert (pool.connections.connections, pool.seen["closed"] > 0) == ([], True)


def test_closing_ends_all_and_keeps_nothing_that_comes_back(serve: MakePeer, pool: Pool) -> None:
    head, _ = http().split(b"\r\n\r\n")
    whole = serve(answering(http()))
    half = serve(hearing_then(saying(head + b"\r\n\r\n"), Conversation.wait))
    pool.ask(whole)
    under_way, read = pool.begin(half), pool.begin(whole)
    pool.connections.close()
    assert pool.seen["closed"] == 2
    with pytest.raises(httpcore.ReadError):
        finished(under_way)
    read.close()
    assert pool.connections.connections == []
    pool.ask(whole)  # that began too late
    assert pool.connections.connections == []

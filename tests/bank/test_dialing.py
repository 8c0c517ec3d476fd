"""A name with several addresses, some of which are dead: the next is tried beside the first."""

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.bank.conftest import MakeBank, MakePeer, partner_at
from tests.bank.peer import REQUEST, Peer, answering, http
from tests.servers.missing import unavailable
from tests.servers.waiting import LIMIT
from worker.errors import BankUnreachable
from worker.net import dialing
from worker.net.deadline import Deadline
from worker.net.dialing import Dialer

PORT = 443
Address = tuple[Any, ...]


@contextmanager
def dead(host: str = "127.0.0.2") -> Iterator[Address]:
    """
    Give an address that neither takes nor refuses a connection, as one behind a firewall.

    The kernel answers no further one while those that wait to be accepted fill the backlog.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as stack:
        try:
            full = stack.enter_context(socket.create_server((host, 0), family=family, backlog=0))
        except OSError as error:
            unavailable(f"the address {host}", error, installable=False)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket(family))
            waiting.setblocking(False)  # noqa: FBT003 - its only argument
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


@contextmanager
def alive(host: str) -> Iterator[Address]:
    """Give an address that takes connections; the kernel does so without anybody's accepting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host, 0), family=family, backlog=64)
    except OSError as error:
        unavailable(f"the address {host}", error, installable=False)
    with server:
        yield server.getsockname()


@contextmanager
def refusing(host: str = "127.0.0.3") -> Iterator[Address]:
    """Give an address at which nobody listens, and nobody will: it stays bound."""
    with socket.socket() as bound:
        bound.bind((host, 0))
        yield bound.getsockname()


class Named:
    """The name `bank.test`, with the addresses that it has now; what is tried is kept."""

    def __init__(self) -> None:
        self.addresses: list[Address] = []
        self.tried: list[Address] = []

    def resolve(self, *_: object, **__: object) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in each[0] else socket.AF_INET, socket.SOCK_STREAM, 6, "", each)
            for each in self.addresses
        ]


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Named:
    name = Named()

    class Watched(socket.socket):
        def connect(self, address: Any) -> None:
            name.tried.append(address)
            super().connect(address)

    monkeypatch.setattr(socket, "getaddrinfo", name.resolve)
    monkeypatch.setattr(socket, "socket", Watched)
    return name


def connected(dialer: Dialer) -> Address:
    """Return the address that a connection was made to."""
    with Deadline(LIMIT), dialer.dial("bank.test", PORT) as connection:
        address: Address = connection.getpeername()
    return address


@pytest.mark.parametrize(
    ("first", "second"),
    [("127.0.0.2", "127.0.0.1"), ("::1", "127.0.0.1"), ("127.0.0.2", "::1")],
)
def test_a_dead_first_address_costs_no_share_of_the_deadline(
    named: Named, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    """
    The next one begins beside it, after a quarter of a second, whatever the deadline.

    What is waited for is seen by what the kernel is asked to wait: no clock is looked at.
    """
    waits: list[int] = []
    real = select.poll

    class Watched:
        def __init__(self) -> None:
            self._poll = real()
            self.register, self.unregister = self._poll.register, self._poll.unregister

        def poll(self, milliseconds: int) -> list[tuple[int, int]]:
            waits.append(milliseconds)
            ready: list[tuple[int, int]] = self._poll.poll(milliseconds)
            return ready

    monkeypatch.setattr(select, "poll", Watched)
    with dead(first) as unheard, alive(second) as heard:
        named.addresses = [unheard, heard]
        assert connected(Dialer()) == heard
    assert named.tried == [unheard, heard]
    assert waits[0] == 250


def test_the_one_that_answered_is_tried_first_from_then_on(named: Named) -> None:
    dialer = Dialer()
    with dead() as unheard, alive("127.0.0.1") as heard:
        named.addresses = [unheard, heard]
        connected(dialer)
        named.tried.clear()
        assert connected(dialer) == heard
        assert named.tried == [heard]


def test_one_that_has_died_since_gives_way_again(named: Named) -> None:
    dialer = Dialer()
    with alive("127.0.0.1") as first, alive("127.0.0.3") as second:
        named.addresses = [first, second]
        assert connected(dialer) == first
    with dead() as gone, alive("127.0.0.3") as second:
        dialer.remember("bank.test", PORT, gone)
        named.addresses = [second, gone]
        named.tried.clear()
        assert connected(dialer) == second
        assert named.tried == [gone, second]
        named.tried.clear()
        assert connected(dialer) == second
        assert named.tried == [second]


def test_one_that_is_no_longer_an_address_of_the_name_is_not_tried(named: Named) -> None:
    dialer = Dialer()
    with alive("127.0.0.1") as first, alive("127.0.0.3") as second:
        named.addresses = [first]
        connected(dialer)
        named.addresses = [second]
        assert connected(dialer) == second


def test_a_refusal_is_not_waited_for(named: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next begins at once: no wait may end by its time here."""
    monkeypatch.setattr(dialing, "DELAY", LIMIT)
    with refusing() as closed, alive("127.0.0.1") as heard:
        named.addresses = [closed, closed, heard]
        assert connected(Dialer()) == heard
        assert named.tried == [closed, closed, heard]


def test_a_slow_first_address_may_still_be_the_first(named: Named) -> None:
    """It is not given up when the next begins: here all the others are dead."""
    with dead() as unheard, alive("127.0.0.1") as heard:
        named.addresses = [unheard, unheard, unheard, heard, unheard]
        assert connected(Dialer()) == heard


def test_the_families_take_turns(named: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six dead addresses of one family do not stand before the first of the other."""
    monkeypatch.setattr(dialing, "DELAY", 0.001)
    with dead("::1") as unheard, alive("127.0.0.1") as heard:
        named.addresses = [unheard] * 6 + [heard]
        assert connected(Dialer()) == heard
        assert named.tried[1] == heard


def test_all_dead_is_a_timeout_and_all_closed_a_refusal(make_bank: MakeBank, named: Named) -> None:
    bank, partner = make_bank(), partner_at(f"http://bank.test:{PORT}/")
    with refusing() as closed:
        named.addresses = [closed, closed]
        with pytest.raises(BankUnreachable) as told:
            bank.cancel(partner, REQUEST)
    assert told.value.fault == "connect_failed"
    assert "refused" in str(told.value)
    with dead() as unheard:
        named.addresses = [unheard, unheard]
        with Deadline(0.3), pytest.raises(TimeoutError):
            Dialer().dial("bank.test", PORT)
    assert named.tried[-2:] == [unheard, unheard], "each has its share of a short deadline"


def test_no_connection_that_lost_is_left_open(
    named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialing, "DELAY", 0.001)
    made: list[socket.socket] = []
    watched = socket.socket

    class Kept(watched):  # type: ignore[misc, valid-type]
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            made.append(self)

    monkeypatch.setattr(socket, "socket", Kept)
    with dead() as unheard, alive("127.0.0.1") as heard:
        named.addresses = [unheard, unheard, heard]
        made.clear()
        with Deadline(LIMIT):
            won = Dialer().dial("bank.test", PORT)
        assert [each for each in made if each.fileno() >= 0] == [won]
        won.close()


def test_a_call_reaches_the_bank_behind_a_dead_address(
    make_bank: MakeBank, serve: MakePeer, named: Named
) -> None:
    peer: Peer = serve(answering(http()))
    bank, partner = make_bank(), partner_at(f"http://bank.test:{peer.port}/")
    with dead() as unheard:
        named.addresses = [unheard, ("127.0.0.1", peer.port)]
        assert bank.cancel(partner, REQUEST).http_status == 200
    assert named.tried == [unheard, ("127.0.0.1", peer.port)]

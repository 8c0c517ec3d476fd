"""The fault proxy: what each of its faults does to a connection."""

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.servers.waiting import LIMIT, eventually, joined
from tests.survival.proxy import HOST, Proxy


class Echo(socketserver.ThreadingTCPServer):
    """Sends back what it gets, and remembers it."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard = b""
        super().__init__((HOST, 0), _Echoing)


class _Echoing(socketserver.BaseRequestHandler):
    server: Echo

    def handle(self) -> None:
        try:
            while piece := self.request.recv(65_536):
                self.server.heard += piece
                self.request.sendall(piece)
        except OSError:
            pass


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        joined(thread)


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.server_address[1]) as proxy:
        yield proxy


def call(proxy: Proxy, *, timeout: float = LIMIT) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=timeout)


def ask(line: socket.socket, said: bytes) -> bytes:
    """Say something; return what comes back, as long as it is."""
    line.sendall(said)
    heard = b""
    while len(heard) < len(said) and (piece := line.recv(65_536)):
        heard += piece
    return heard


def test_without_a_fault_it_passes_on_both_ways(proxy: Proxy) -> None:
    """A megabyte too: more than any buffer on the way holds."""
    with call(proxy) as line:
        assert ask(line, b"one") == b"one"
    said = b"x" * 1_000_000
    with call(proxy) as line:
        sender = threading.Thread(target=line.sendall, args=(said,))
        sender.start()
        heard = b""
        while len(heard) < len(said):
            heard += line.recv(65_536)
        joined(sender)
    assert heard == said
    eventually(lambda: proxy.links == 0)


def test_a_cut_resets_every_line_and_takes_new_ones(proxy: Proxy) -> None:
    with call(proxy) as first, call(proxy) as second:
        assert ask(first, b"1") == ask(second, b"1") == b"1"
        proxy.cut()
        for line in (first, second):
            with pytest.raises(ConnectionResetError):
                line.recv(1)
    with call(proxy) as line:
        assert ask(line, b"2") == b"2"


def test_down_it_refuses_until_it_is_up_again(proxy: Proxy) -> None:
    with call(proxy) as line:
        assert ask(line, b"1") == b"1"
        proxy.down()
        with pytest.raises(ConnectionResetError):
            line.recv(1)
    with pytest.raises(ConnectionRefusedError):
        call(proxy)
    proxy.up()
    with call(proxy) as line:
        assert ask(line, b"2") == b"2"


def test_frozen_it_passes_nothing_on_and_thawed_it_passes_all_of_it(
    proxy: Proxy, echo: Echo
) -> None:
    with call(proxy) as old:
        assert ask(old, b"1") == b"1"
        proxy.freeze()
        with call(proxy) as new:
            for line in (old, new):
                line.sendall(b"2")
                line.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    line.recv(1)
                line.settimeout(LIMIT)
            assert echo.heard == b"1"
            proxy.thaw()
            assert old.recv(1) == new.recv(1) == b"2"


def test_a_lost_reply_belongs_to_a_request_that_arrived(proxy: Proxy, echo: Echo) -> None:
    with call(proxy) as line:
        proxy.lose_replies()
        line.sendall(b"done?")
        with pytest.raises(ConnectionResetError):
            line.recv(1)
    assert echo.heard == b"done?"
    proxy.heal()
    with call(proxy) as line:
        assert ask(line, b"again") == b"again"


def test_an_orphan_hears_nothing_and_is_told_nothing(proxy: Proxy, echo: Echo) -> None:
    with call(proxy) as orphan:
        assert ask(orphan, b"1") == b"1"
        proxy.orphan()
        orphan.sendall(b"2")
        with call(proxy) as line:
            assert ask(line, b"3") == b"3"
        orphan.settimeout(0.2)
        with pytest.raises(TimeoutError):
            orphan.recv(1)
    assert echo.heard == b"13"


def test_a_caught_request_never_arrives_and_the_others_do(proxy: Proxy, echo: Echo) -> None:
    with call(proxy) as first, call(proxy) as second:
        caught = proxy.catch(b"COMMIT")
        assert ask(first, b"BEGIN;") == b"BEGIN;"
        assert not caught.there
        first.sendall(b"COMMIT;")
        eventually(lambda: caught.there)
        assert ask(second, b"COMMIT;") == b"COMMIT;"
    assert echo.heard == b"BEGIN;COMMIT;"


def test_a_caught_reply_belongs_to_a_request_that_arrived(proxy: Proxy, echo: Echo) -> None:
    """Only where the request named came before it on the same line."""
    with call(proxy) as first, call(proxy) as second:
        caught = proxy.catch(b"COMMIT", after=b"INSERT", reply=True)
        assert ask(first, b"COMMIT;") == b"COMMIT;"
        assert ask(second, b"INSERT;") == b"INSERT;"
        second.sendall(b"COMMIT!")
        eventually(lambda: caught.there)
        assert ask(first, b"COMMIT;") == b"COMMIT;"
    assert echo.heard == b"COMMIT;INSERT;COMMIT!COMMIT;"


def test_a_server_that_is_gone_ends_the_line(proxy: Proxy, echo: Echo) -> None:
    echo.shutdown()
    echo.server_close()
    with call(proxy) as line:
        assert line.recv(1) == b""

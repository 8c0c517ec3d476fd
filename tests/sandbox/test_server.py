"""The server itself: lines kept alive, bad HTTP, TLS, starting and stopping."""

import ast
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import worker.sandbox
from tests.bank.tls_files import AUTHORITY, HERE, server_context
from tests.sandbox.caller import CANCEL, Caller, cancel_bytes, content, headers, until_closed
from tests.servers.waiting import LIMIT, eventually, joined
from worker.sandbox import Rules, Sandbox, serve

ROOM = Path(worker.sandbox.__file__).parent


def test_one_line_serves_many_requests(caller: Caller) -> None:
    caller.cancel("ok-0")
    line = caller.connection.sock
    for number in range(50):
        assert caller.cancel(f"ok-{number}").status == 200
    assert caller.get("/healthz").status == 200
    assert caller.connection.sock is line


def test_requests_may_come_in_one_piece_or_in_many(caller: Caller) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("ok-1", "A") + cancel_bytes("ok-2", "B"))
        heard = b""
        while heard.count(b'"CANCELLED"') < 2:
            heard += sock.recv(65_536)
        for byte in cancel_bytes("ok-3", "C"):
            sock.sendall(bytes([byte]))
        assert b"ok-3" in sock.recv(65_536)


def test_a_body_may_come_in_chunks(caller: Caller) -> None:
    body = json.dumps(content("ok-1", "U")).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in headers().items())
    with caller.raw() as sock:
        sock.sendall(
            f"POST {CANCEL} HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode()
            + b"%x;note=1\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n"
            % (10, body[:10], len(body) - 10, body[10:])
        )
        assert b"CANCELLED" in sock.recv(65_536)


def test_a_client_that_waits_for_leave_gets_it(caller: Caller) -> None:
    body = json.dumps(content("ok-1", "U")).encode()
    sent = headers(Expect="100-continue", Content_Length=str(len(body)))
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    with caller.raw() as sock:
        sock.sendall(f"POST {CANCEL} HTTP/1.1\r\n{head}\r\n".encode())
        assert sock.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert b"CANCELLED" in sock.recv(65_536)


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nnocolon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000,
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_a_400_and_no_entry(
    bank: Sandbox, caller: Caller, sent: bytes
) -> None:
    with caller.raw() as sock:
        sock.sendall(sent)
        assert sock.recv(65_536).startswith(b"HTTP/1.1 400 ")
    assert len(bank.journal) == 0


@pytest.mark.parametrize("sent", [b"", b"POST", cancel_bytes("ok-1", "U")[:-5]])
def test_a_request_that_never_ends_is_no_request(
    bank: Sandbox, caller: Caller, sent: bytes
) -> None:
    with caller.raw() as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        assert until_closed(sock) == b""
    assert len(bank.journal) == 0


@pytest.mark.parametrize(("version", "wish"), [("1.0", ""), ("1.1", "Connection: close\r\n")])
def test_a_client_may_ask_for_the_end_of_the_line(caller: Caller, version: str, wish: str) -> None:
    with caller.raw() as sock:
        sock.sendall(f"GET /healthz HTTP/{version}\r\n{wish}\r\n".encode())
        assert until_closed(sock).endswith(b"\n")


def test_many_clients_at_once_are_all_answered(bank: Sandbox) -> None:
    """32 lines, 1 600 POSTs; they take a second or two, and a busy machine takes its time."""

    def ask(number: int) -> None:
        with Caller(bank.port) as caller:
            for turn in range(50):
                assert caller.cancel(f"ok-{number}-{turn}", f"U{number}-{turn}").status == 200

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    joined(*threads)
    assert len(bank.journal) == 1600


def test_a_fault_of_the_banks_own_is_shown_and_ends_one_line_only() -> None:
    times = iter([1000.0, 1000.0])
    with Sandbox(clock=times.__next__) as bank, Caller(bank.port) as caller:
        with caller.raw() as sock:
            sock.sendall(cancel_bytes("ok-1", "U"))
            assert until_closed(sock) == b""
        assert caller.get("/healthz").status == 200
        assert bank.faults == ["StopIteration"]


def test_stopping_ends_what_is_held_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    bank = Sandbox().start()
    caller = Caller(bank.port)
    with caller, caller.raw() as sock:
        caller.cancel("ok-1")
        sock.sendall(cancel_bytes("holdbefore-1", "U"))
        assert bank.journal.wait_for_posts(2, timeout=LIMIT)
        bank.stop()  # what is held would go on for ever
        assert until_closed(sock) == b""
    # A thread of another test's may have ended meanwhile.
    assert set(threading.enumerate()) <= before
    assert bank.journal.effects() == {"ok-1": 1}
    assert bank.journal.counts()["in_progress"] == 0
    with pytest.raises(ConnectionRefusedError):
        caller.raw()


def test_the_port_can_be_chosen_and_used_again_at_once() -> None:
    with Sandbox() as first, Caller(first.port) as caller:
        caller.cancel("ok-1")
        port = first.port
    with Sandbox(port=port) as second, Caller(port) as caller:
        assert second.url == f"http://127.0.0.1:{port}"
        assert second.cancel_url == f"{second.url}/v1/kplus/payment/cancel-token"
        assert second.inquiry_url == f"{second.url}/v1/kplus/payment/inquire-token"
        assert caller.cancel("ok-1").json["statusCode"] == "00"


def test_a_port_that_is_taken_is_said_at_once() -> None:
    with Sandbox() as first, pytest.raises(OSError, match="Address already in use"):
        Sandbox(port=first.port).start()


def test_a_bank_may_begin_closed() -> None:
    with Sandbox(rules=Rules(mode="refuse")) as bank:
        with pytest.raises(ConnectionRefusedError):
            Caller(bank.port).raw()
        bank.change_rules(mode="ok")
        with Caller(bank.port) as caller:
            assert caller.get("/healthz").status == 200


def secured(bank: Sandbox, context: ssl.SSLContext) -> ssl.SSLSocket:
    bare = socket.create_connection(("127.0.0.1", bank.port), timeout=LIMIT)
    try:
        return context.wrap_socket(bare, server_hostname="127.0.0.1")
    except OSError:
        bare.close()
        raise


@pytest.fixture
def mutual() -> Iterator[Sandbox]:
    """A bank that demands a client certificate."""
    with Sandbox(ssl_context=server_context(asks_for_client=True)) as bank:
        assert bank.url.startswith("https://127.0.0.1:")
        yield bank
    assert bank.faults == []


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def trusting(request: pytest.FixtureRequest) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    context.maximum_version = request.param
    return context


@pytest.fixture
def known(trusting: ssl.SSLContext) -> ssl.SSLContext:
    trusting.load_cert_chain(HERE / "client.pem", HERE / "client_key.pem")
    return trusting


def test_a_client_without_a_certificate_is_sent_away(
    mutual: Sandbox, trusting: ssl.SSLContext
) -> None:
    def ask() -> None:
        with secured(mutual, trusting) as line:
            line.sendall(cancel_bytes("ok-1", "U"))
            line.recv(100)

    with pytest.raises(ssl.SSLError, match=r"handshake failure|certificate required"):
        ask()
    assert len(mutual.journal) == 0


@pytest.mark.parametrize("scenario", ["ok", "dripbody1", "chunked"])
def test_answers_travel_under_tls_as_they_do_without(
    mutual: Sandbox, known: ssl.SSLContext, scenario: str
) -> None:
    with secured(mutual, known) as line:
        line.sendall(cancel_bytes(f"{scenario}-1", "U"))
        heard = part = line.recv(65_536)
        while part and b'"CANCELLED"}]}' not in heard:
            part = line.recv(65_536)
            heard += part
    assert heard.startswith(b"HTTP/1.1 200")
    assert b'"CANCELLED"}]}' in heard
    assert mutual.journal.effects() == {f"{scenario}-1": 1}


def test_a_line_is_dropped_under_tls_too(mutual: Sandbox, known: ssl.SSLContext) -> None:
    with secured(mutual, known) as line:
        line.sendall(cancel_bytes("drop-1", "U"))
        # Below TLS, which takes a reset for an end.
        with socket.socket(fileno=os.dup(line.fileno())) as bare:
            bare.settimeout(LIMIT)
            with pytest.raises(ConnectionResetError):
                until_closed(bare)
    assert mutual.journal.effects() == {"drop-1": 1}


def test_a_client_that_leaves_is_noticed_under_tls_too(
    mutual: Sandbox, known: ssl.SSLContext
) -> None:
    with secured(mutual, known) as line:
        line.sendall(cancel_bytes("hold-1", "U"))
        eventually(lambda: bool(mutual.journal.effects()))
    eventually(lambda: mutual.journal.counts()["in_progress"] == 0)
    assert mutual.journal.entries()[0].client_left


def test_serve_announces_its_address_and_ends_when_told() -> None:
    stop, announced = threading.Event(), threading.Event()
    urls: list[str] = []

    def announce(url: str) -> None:
        urls.append(url)
        announced.set()

    thread = threading.Thread(target=serve, kwargs={"announce": announce, "stop": stop})
    thread.start()
    assert announced.wait(LIMIT)
    with Caller(int(urls[0].rpartition(":")[2])) as caller:
        assert caller.cancel("ok-1").status == 200
        stop.set()
        joined(thread)
    assert not thread.is_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_in_good_order_on_a_signal(number: signal.Signals) -> None:
    program = "from worker.sandbox import serve; serve(announce=lambda url: print(url, flush=True))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"http://127.0.0.1:")
        os.kill(process.pid, number)
        assert process.wait(LIMIT) == 0


@pytest.mark.parametrize("module", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
def test_the_bank_imports_nothing_but_itself_and_the_standard_library(module: Path) -> None:
    """So that a misreading of the protocol cannot pass on both sides."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(str(node.module))
    own = {name for name in names if name == "worker.sandbox" or name.startswith("worker.sandbox.")}
    assert {name.partition(".")[0] for name in names - own} <= sys.stdlib_module_names

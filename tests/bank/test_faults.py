"""Every failure of a conversation becomes one word that says whether anything was sent."""

import socket
import ssl
from collections.abc import Iterator

import h11
import httpcore
import httpx
import pytest

from tests.bank.conftest import MakeBank, MakePeer, partner_at
from tests.bank.peer import (
    CANCELLED,
    REQUEST,
    Conversation,
    Play,
    answering,
    hearing_then,
    http,
    one_each,
    saying,
)
from worker.bank import FAULTS, Bank
from worker.errors import AnswerLost, BankError, BankUnreachable, CallMisconfigured
from worker.net.faults import FAULTS_BY_ERROR, fault_of

ROOTS = (
    httpx.HTTPError,
    httpx.StreamError,
    httpx.InvalidURL,
    httpx.CookieConflict,
)
NEVER_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"}
OURS = {"InvalidURL", "UnsupportedProtocol", "LocalProtocolError"}


def leaves(kind: type[Exception]) -> Iterator[type[Exception]]:
    below = [sub for sub in kind.__subclasses__() if sub.__module__.split(".")[0] == "httpx"]
    if not below:
        yield kind
    for sub in below:
        yield from leaves(sub)


HTTPX_LEAVES = sorted(
    {leaf for root in ROOTS for leaf in leaves(root)}, key=lambda kind: kind.__name__
)


def test_every_error_of_httpx_hangs_below_a_known_root() -> None:
    errors = {
        value
        for value in vars(httpx).values()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert all(issubclass(error, ROOTS) for error in errors)
    assert len(HTTPX_LEAVES) >= 20


@pytest.mark.parametrize("leaf", HTTPX_LEAVES, ids=lambda leaf: leaf.__name__)
def test_every_leaf_of_httpx_has_a_word_of_its_own_choice(leaf: type[Exception]) -> None:
    """A leaf that httpx adds must be judged by a person before it may pass."""
    assert leaf in FAULTS_BY_ERROR
    branch, _ = FAULTS[FAULTS_BY_ERROR[leaf]]
    assert issubclass(branch, BankUnreachable) == (leaf.__name__ in NEVER_SENT)
    assert issubclass(branch, CallMisconfigured) == (leaf.__name__ in OURS)
    assert issubclass(branch, AnswerLost) == (leaf.__name__ not in NEVER_SENT | OURS)


def test_every_word_has_a_meaning_and_is_a_stable_word() -> None:
    assert set(FAULTS_BY_ERROR.values()) <= set(FAULTS)
    assert all(word.replace("_", "").isalpha() and word.islower() for word in FAULTS)


@pytest.mark.parametrize(
    "error",
    [
        httpcore.NetworkError("leaked"),
        httpcore.ConnectionNotAvailable(),
        h11.LocalProtocolError("leaked"),
        ssl.SSLError(1, "leaked"),
        OSError(5, "leaked"),
        UnicodeError("leaked"),
        AssertionError(),
        RuntimeError("leaked"),
        httpx.TransportError("a branch"),
        httpx.NetworkError("a branch"),
        type("NewReadError", (httpx.TimeoutException,), {})("a leaf unknown to us"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_nobody_foresaw_may_have_been_sent(
    make_bank: MakeBank, error: Exception
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    bank = make_bank(open_transport=lambda _: httpx.MockTransport(fail))
    with pytest.raises(AnswerLost) as told:
        bank.cancel(partner_at("http://127.0.0.1/"), REQUEST)
    assert told.value.fault == "unexpected"
    assert "leaked" not in str(told.value)


def test_a_finer_kind_of_a_known_leaf_keeps_its_word() -> None:
    finer = type("Finer", (httpx.ConnectTimeout,), {})
    assert fault_of(finer("x")) == "connect_timeout"


def test_an_interrupt_is_not_swallowed(make_bank: MakeBank) -> None:
    def stop(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    bank = make_bank(open_transport=lambda _: httpx.MockTransport(stop))
    with pytest.raises(KeyboardInterrupt):
        bank.cancel(partner_at("http://127.0.0.1/"), REQUEST)


def test_a_closed_port_was_sent_nothing(bank: Bank) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(BankUnreachable) as told:
        bank.cancel(partner_at(f"http://127.0.0.1:{port}/"), REQUEST)
    assert told.value.fault == "connect_failed"
    assert "refused" in str(told.value)


@pytest.mark.parametrize(
    "failure", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")]
)
def test_a_name_without_an_address_was_sent_nothing(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(BankUnreachable) as told:
        bank.cancel(partner_at("http://bank.invalid/"), REQUEST)
    assert told.value.fault == "dns_failed"


def test_a_name_too_long_for_dns_was_sent_nothing(bank: Bank) -> None:
    with pytest.raises(BankUnreachable) as told:
        bank.cancel(partner_at(f"http://{'a' * 70}.invalid/"), REQUEST)
    assert told.value.fault == "dns_failed"


def reset(talk: Conversation) -> None:
    """Hang up with a reset instead of a farewell."""
    talk.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    talk.line.close()


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + CANCELLED
CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + CANCELLED


@pytest.mark.parametrize(
    ("play", "word"),
    [
        pytest.param(hearing_then(), "connection_dropped", id="no answer"),
        pytest.param(hearing_then(reset), "connection_dropped", id="reset"),
        pytest.param(hearing_then(saying(HALF[:24])), "connection_dropped", id="half a head"),
        pytest.param(hearing_then(saying(HALF)), "connection_dropped", id="half a body"),
        pytest.param(hearing_then(saying(CHUNK)), "connection_dropped", id="half a chunk"),
        pytest.param(
            hearing_then(saying(HALF), reset),
            "connection_dropped",
            id="reset in the body",
        ),
        pytest.param(answering(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "protocol_error", id="not HTTP"),
        pytest.param(answering(b"\x15\x03\x01\0\x02\x02P\r\n\r\n"), "protocol_error", id="TLS"),
        pytest.param(
            answering(http(headers=["X: " + "y" * 200_000])), "protocol_error", id="endless header"
        ),
        pytest.param(
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            "protocol_error",
            id="two lengths",
        ),
        pytest.param(
            answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            "protocol_error",
            id="bad chunk",
        ),
        pytest.param(
            answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
            "protocol_error",
            id="another protocol",
        ),
        pytest.param(
            answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            "protocol_error",
            id="compressed transfer",
        ),
    ],
)
def test_an_answer_that_is_not_whole_is_lost(
    bank: Bank, serve: MakePeer, play: Play, word: str
) -> None:
    with pytest.raises(AnswerLost) as told:
        bank.cancel(partner_at(serve(play).url), REQUEST)
    assert told.value.fault == word


def test_a_connection_reset_at_once_is_a_fault_either_way(bank: Bank, serve: MakePeer) -> None:
    """The reset may meet us while we connect, or just after."""
    with pytest.raises((BankUnreachable, AnswerLost)) as told:
        bank.cancel(partner_at(serve(reset).url), REQUEST)
    assert told.value.fault in ("connect_failed", "write_failed", "connection_dropped")


def test_nothing_is_sent_twice(bank: Bank, serve: MakePeer) -> None:
    peer = serve(hearing_then())
    with pytest.raises(BankError):
        bank.cancel(partner_at(peer.url), REQUEST)
    assert (len(peer.requests), peer.connections) == (1, 1)


def test_a_lost_answer_does_not_spoil_the_next_call(bank: Bank, serve: MakePeer) -> None:
    peer = serve(one_each(hearing_then(saying(HALF)), answering(http())))
    partner = partner_at(peer.url)
    with pytest.raises(AnswerLost):
        bank.cancel(partner, REQUEST)
    assert bank.cancel(partner, REQUEST).envelope is not None


def test_an_answer_from_before_the_request_is_not_its_answer(bank: Bank, serve: MakePeer) -> None:
    """A second answer in the same packet would be taken for the next job's."""
    twice = http() + http(b"", status="503 Service Unavailable")
    peer = serve(answering(twice))
    partner = partner_at(peer.url)
    assert bank.cancel(partner, REQUEST).http_status == 200
    with pytest.raises(AnswerLost) as told:
        bank.cancel(partner, REQUEST)
    assert told.value.fault == "stray_answer"
    assert bank.cancel(partner, REQUEST).http_status == 200
    assert peer.connections == 2

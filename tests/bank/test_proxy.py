"""The way out through an egress proxy: a tunnel, whose faults mean that nothing was sent."""

import select
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.bank.conftest import SECRET, MakeBank, MakePeer, partner_at
from tests.bank.peer import (
    REQUEST,
    Conversation,
    Peer,
    Play,
    answering,
    hearing_then,
    http,
    in_turn,
    saying,
)
from tests.bank.test_deadline import crowded_port, waiting_for
from tests.bank.tls_files import AUTHORITY, HERE, OTHER_AUTHORITY, server_context
from tests.servers.deadlines import counted
from tests.servers.egress import USER, EgressProxy, MakeEgress
from tests.servers.waiting import LIMIT, eventually
from worker.bank import Bank
from worker.errors import (
    AnswerLost,
    BankError,
    BankUnreachable,
    BankUntrusted,
    CallMisconfigured,
    CertificateRefused,
)

IDENTITY = {"client_cert": HERE / "client.pem", "client_key": HERE / "client_key.pem"}
SHORT = timedelta(seconds=0.5)
OPENED = b"HTTP/1.1 200 Connection established\r\n\r\n"
CLOSED_PORT = "https://localhost:1/v1"


def through(proxy: EgressProxy | str, url: str, **more: Any) -> Any:
    """Return a partner whose bank is behind the proxy."""
    address = proxy if isinstance(proxy, str) else proxy.url
    return partner_at(url, proxy_url=address, ca_bundle=AUTHORITY, **more)


def told(bank: Bank, partner: Any, kind: type[BankError] = BankUnreachable) -> str:
    """Return what is said of a call that failed because of the proxy."""
    with pytest.raises(kind) as error:
        bank.cancel(partner, REQUEST)
    assert type(error.value) is kind
    assert error.value.fault == "proxy_failed"
    return str(error.value)


@pytest.fixture
def secure(serve: MakePeer) -> Peer:
    """A bank under TLS that answers whatever it is asked."""
    return serve(answering(http()), context=server_context())


# The real thing.


@pytest.mark.parametrize("tls", [False, True], ids=["http proxy", "https proxy"])
@pytest.mark.parametrize("at_most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_mutual_tls_passes_through_a_real_proxy_which_sees_no_more_than_connect(
    bank: Bank, serve: MakePeer, egress: MakeEgress, at_most: ssl.TLSVersion, *, tls: bool
) -> None:
    proxy = egress(tls=tls)
    peer = serve(answering(http()), context=server_context(asks_for_client=True, at_most=at_most))
    partner = through(proxy, peer.url, proxy_ca_bundle=AUTHORITY, **IDENTITY)
    for _ in range(3):
        assert bank.cancel(partner, REQUEST).envelope is not None
    assert peer.connections == 1, "the tunnel is kept"
    bank.close()
    wanted = f"CONNECT localhost:{peer.port}"
    requests = eventually(proxy.requests)  # squid writes a line when a tunnel ends
    assert [" ".join(line.split()[:2]) for line in requests] == [wanted]
    assert SECRET not in proxy.log()


def test_a_real_proxy_that_wants_a_password_is_given_it_and_the_bank_is_not(
    bank: Bank, secure: Peer, egress: MakeEgress
) -> None:
    proxy = egress(wants_a_user=True)
    assert bank.cancel(through(proxy, secure.url), REQUEST).envelope is not None
    assert b"roxy-" not in secure.requests[0]
    without = f"http://127.0.0.1:{proxy.port}"
    assert "password into proxy_url" in told(bank, through(without, secure.url))
    wrong = f"http://{USER}:canary-wrong@127.0.0.1:{proxy.port}"
    said = told(bank, through(wrong, secure.url))
    assert "does not take the user and the password" in said
    assert "canary" not in said


def test_a_real_proxy_that_is_away_and_back(bank: Bank, secure: Peer, egress: MakeEgress) -> None:
    proxy = egress()
    partner = through(proxy, secure.url)
    assert bank.cancel(partner, REQUEST).envelope is not None
    proxy.stop()
    # The tunnel that was kept is gone with it.
    assert "refused" in told(bank, partner)
    assert len(secure.requests) == 1
    proxy.start()
    assert bank.cancel(partner, REQUEST).envelope is not None


def test_a_real_proxy_that_cannot_reach_the_bank_says_so(bank: Bank, egress: MakeEgress) -> None:
    assert "cannot reach localhost:1" in told(bank, through(egress(), CLOSED_PORT))


# What the bank does is the bank's, though it is behind a proxy.


def test_a_refused_certificate_and_an_unknown_authority_are_told_as_without_a_proxy(
    bank: Bank, serve: MakePeer, egress: MakeEgress
) -> None:
    proxy = egress()
    asking = serve(
        in_turn(Conversation.hear), context=server_context(asks_for_client=True, at_most=TLS_1_2)
    )
    with pytest.raises(CertificateRefused):
        bank.cancel(through(proxy, asking.url), REQUEST)
    stranger = serve(answering(http()), context=server_context("other_host.pem"))
    with pytest.raises(BankUntrusted):
        bank.cancel(through(proxy, stranger.url), REQUEST)
    assert stranger.requests == []


TLS_1_2 = ssl.TLSVersion.TLSv1_2


def test_an_answer_that_is_lost_behind_a_proxy_is_doubt(
    bank: Bank, serve: MakePeer, egress: MakeEgress
) -> None:
    peer = serve(hearing_then(), context=server_context())
    with pytest.raises(AnswerLost):
        bank.cancel(through(egress(), peer.url), REQUEST)


# Proxies that misbehave.


def play_proxy(serve: MakePeer, *acts: Play, context: ssl.SSLContext | None = None) -> Peer:
    return serve(in_turn(*acts), context=context)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\n\r\n", "password into proxy_url"),
        (b"HTTP/1.1 403 canary\r\nX: canary\r\n\r\nbody", "does not let us go to localhost:1:"),
        (b"HTTP/1.1 401 canary\r\n\r\n", "does not take the user and the password"),
        (b"HTTP/1.0 502 canary\r\n\r\n", "cannot reach localhost:1"),
        (b"HTTP/1.1 503 canary\r\n\r\n", "cannot reach localhost:1"),
        (b"HTTP/1.1 302 canary\r\nLocation: http://canary\r\n\r\n", "opens no tunnel"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 504 canary\r\n\r\n", "answered 504"),
        (b"SSH-2.0-canary\r\n", "does not answer as an HTTP proxy"),
        (b"\x15\x03\x01\0\x02\x02P", "does not answer as an HTTP proxy"),
        (b"HTTP/1.1 999 canary\r\n\r\n", "does not answer as an HTTP proxy"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: canary\r\n" * 5000, "does not answer as an HTTP proxy"),
        (OPENED + b"HTTP/1.1 200 OK\r\n\r\n", "before it was asked"),
        (b"", "ended the connection"),
        (b"HTTP/1.1 200", "ended the connection"),
    ],
)
def test_whatever_a_proxy_answers_nothing_was_sent(
    bank: Bank, serve: MakePeer, answer: bytes, says: str
) -> None:
    """Its words are not quoted: it may echo the password."""
    proxy = play_proxy(serve, Conversation.hear, saying(answer))
    url = proxy.url.replace("http://", "http://user:canary-password@").partition("/v1")[0]
    if b"407" in answer:
        url = proxy.url.partition("/v1")[0]
    said = told(bank, through(url, CLOSED_PORT))
    assert says in said
    assert "canary" not in said
    (request,) = proxy.requests
    assert request.startswith(b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n")
    assert SECRET.encode() not in request


def test_connect_says_where_to_and_nothing_of_us(bank: Bank, serve: MakePeer) -> None:
    proxy = play_proxy(serve, Conversation.hear)
    told(bank, through(proxy.url.partition("/v1")[0], "https://[::1]:8443/v1", **IDENTITY))
    assert proxy.requests == [b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n"]


def test_a_proxy_that_is_not_there_was_sent_nothing(bank: Bank) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    said = told(bank, through(f"http://127.0.0.1:{port}", CLOSED_PORT))
    assert f"127.0.0.1:{port}" in said
    assert "refused" in said
    assert "could not be resolved" in told(bank, through("http://proxy.invalid:1", CLOSED_PORT))


@pytest.mark.parametrize("play", [Conversation.wait, hearing_then(Conversation.wait)])
def test_a_silent_proxy_is_left_at_the_deadline_of_the_call(
    make_bank: MakeBank, serve: MakePeer, play: Play
) -> None:
    proxy = serve(play)
    bank = make_bank(deadline=SHORT)
    with waiting_for(SHORT):
        said = told(bank, through(proxy.url.partition("/v1")[0], CLOSED_PORT))
    assert "did not answer before the deadline" in said


def test_a_proxy_that_drips_its_answer_is_left_at_the_deadline_of_the_call(
    make_bank: MakeBank, serve: MakePeer
) -> None:
    """Each byte comes within any timeout of a single read."""
    proxy = serve(hearing_then(lambda talk: talk.drip(b"HTTP/1.1 100 Wait\r\n\r\n" * 500)))
    with counted(LIMIT / 100):
        said = told(make_bank(), through(proxy.url.partition("/v1")[0], CLOSED_PORT))
    assert "did not answer before the deadline" in said


def test_a_proxy_behind_a_dead_address_is_given_up_at_the_deadline(make_bank: MakeBank) -> None:
    bank = make_bank(deadline=SHORT)
    with crowded_port() as address, waiting_for(SHORT):
        said = told(bank, through(f"http://127.0.0.1:{address[1]}", CLOSED_PORT))
    assert "before the deadline" in said


def test_the_way_through_the_proxy_is_part_of_one_deadline(
    make_bank: MakeBank, serve: MakePeer
) -> None:
    """The proxy takes the time, and the bank has what is left of it: not a deadline of its own."""
    proxy = serve(in_turn(Conversation.hear, saying(OPENED), Conversation.wait))
    bank = make_bank(deadline=SHORT)
    with waiting_for(SHORT), pytest.raises(BankUnreachable) as error:
        bank.cancel(through(proxy.url.partition("/v1")[0], CLOSED_PORT), REQUEST)
    assert error.value.fault == "connect_timeout"


def test_the_slot_of_a_call_is_taken_when_the_request_leaves_and_not_before(
    bank: Bank, secure: Peer, egress: MakeEgress
) -> None:
    """`leaving` is called before the connection, and before the request: not for CONNECT."""
    proxy, seen = egress(), []

    def leaving() -> None:
        seen.append(len(proxy.requests()))

    bank.cancel(through(proxy, secure.url), REQUEST, leaving=leaving)
    assert len(seen) == 2
    assert seen[0] == 0


@pytest.mark.parametrize(
    ("certificate", "bundle", "says"),
    [
        ("server.pem", OTHER_AUTHORITY, "CA bundle"),
        ("other_host.pem", AUTHORITY, "another name"),
        ("expired.pem", AUTHORITY, "ask its owner"),
    ],
)
def test_a_proxy_that_cannot_prove_itself_is_not_asked(
    bank: Bank, serve: MakePeer, certificate: str, bundle: Path, says: str
) -> None:
    """It is no bank: the partner is not paused, and the job waits."""
    proxy = play_proxy(serve, Conversation.hear, context=server_context(certificate))
    url = proxy.url.partition("/v1")[0].replace("https://", "https://user:canary-word@")
    said = told(bank, through(url, CLOSED_PORT, proxy_ca_bundle=bundle))
    assert "cannot prove its name (check proxy_ca_bundle)" in said
    assert says in said
    assert proxy.requests == []


def test_a_proxy_that_speaks_no_tls_or_wants_a_certificate_is_told(
    bank: Bank, serve: MakePeer
) -> None:
    plain = play_proxy(serve, saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    url = plain.url.partition("/v1")[0].replace("http:", "https:")
    assert "try http://" in told(bank, through(url, CLOSED_PORT, proxy_ca_bundle=AUTHORITY))
    asking = play_proxy(
        serve, Conversation.hear, context=server_context(asks_for_client=True, at_most=TLS_1_2)
    )
    partner = through(
        asking.url.partition("/v1")[0], CLOSED_PORT, proxy_ca_bundle=AUTHORITY, **IDENTITY
    )
    assert "a proxy is sent none" in told(bank, partner)


def test_a_bundle_of_the_proxy_that_cannot_be_used_is_named(bank: Bank) -> None:
    partner = through("https://localhost:1", CLOSED_PORT, proxy_ca_bundle=HERE / "missing.pem")
    with pytest.raises(CallMisconfigured) as error:
        bank.cancel(partner, REQUEST)
    assert error.value.fault == "bad_tls_files"
    assert f"proxy_ca_bundle {HERE / 'missing.pem'}" in str(error.value)


# Which calls go through it.


def test_a_host_that_is_excepted_is_reached_directly(
    bank: Bank, secure: Peer, serve: MakePeer
) -> None:
    proxy = serve(hearing_then())
    partner = through(proxy.url.partition("/v1")[0], secure.url, no_proxy="localhost")
    assert bank.cancel(partner, REQUEST).envelope is not None
    assert proxy.connections == 0


def test_no_plain_request_can_be_made_through_a_proxy() -> None:
    with pytest.raises(ValidationError, match="bank_url") as error:
        partner_at("http://127.0.0.1:1/", proxy_url="http://127.0.0.1:2")
    assert "KPLUS_NO_PROXY" in str(error.value)
    partner_at("http://127.0.0.1:1/", proxy_url="http://127.0.0.1:2", no_proxy="127.0.0.0/8")


def test_a_partner_with_another_proxy_gets_another_client(
    bank: Bank, secure: Peer, egress: MakeEgress
) -> None:
    first, second = egress(), egress()
    for proxy in (first, second):
        assert bank.cancel(through(proxy, secure.url), REQUEST).envelope is not None
    assert len(first.requests()) == 1
    eventually(lambda: len(second.requests()) == 1)


# TLS inside TLS, piece by piece.


@pytest.fixture
def relaying(serve: MakePeer) -> Callable[[Peer, int], Peer]:
    """A proxy over TLS that passes on what arrives in pieces of so many bytes."""

    def start(bank: Peer, size: int) -> Peer:
        def relay(talk: Conversation) -> None:
            talk.hear()
            talk.say(OPENED)
            with socket.create_connection(("127.0.0.1", bank.port)) as far:
                far.settimeout(LIMIT)
                for near, other in _turns(talk.line, far):
                    if not (data := near.recv(size)):
                        return
                    other.sendall(data)

        return serve(relay, context=server_context())

    return start


def _turns(
    near: socket.socket, far: socket.socket
) -> Iterator[tuple[socket.socket, socket.socket]]:
    while True:
        if isinstance(near, ssl.SSLSocket) and near.pending():
            yield near, far
            continue
        for ready in select.select([near, far], [], [])[0]:
            yield (near, far) if ready is near else (far, near)


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("at_most", [TLS_1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_in_tls_takes_records_in_any_pieces(
    bank: Bank,
    serve: MakePeer,
    relaying: Callable[[Peer, int], Peer],
    size: int,
    at_most: ssl.TLSVersion,
) -> None:
    context = server_context(asks_for_client=True, at_most=at_most)
    body = http(headers=["X-Long: " + "y" * 9000, "Content-Type: application/json"])
    peer = serve(answering(body), context=context)
    proxy = relaying(peer, size)
    partner = through(
        proxy.url.partition("/v1")[0], peer.url, proxy_ca_bundle=AUTHORITY, **IDENTITY
    )
    for _ in range(2):
        assert bank.cancel(partner, REQUEST).envelope is not None
    assert peer.connections == 1


@pytest.mark.parametrize(
    ("play", "word"),
    [
        (hearing_then(), "connection_dropped"),
        (hearing_then(saying(http()[:30])), "connection_dropped"),
        (hearing_then(saying(http() + http(b""))), None),
    ],
    ids=["hangs up", "breaks off", "says too much"],
)
def test_what_a_bank_does_inside_tls_in_tls_is_told_as_ever(
    bank: Bank,
    serve: MakePeer,
    relaying: Callable[[Peer, int], Peer],
    play: Play,
    word: str | None,
) -> None:
    peer = serve(play, context=server_context())
    proxy = relaying(peer, 65536)
    partner = through(proxy.url.partition("/v1")[0], peer.url, proxy_ca_bundle=AUTHORITY)
    if word is None:
        assert bank.cancel(partner, REQUEST).envelope is not None
        return
    with pytest.raises(AnswerLost) as error:
        bank.cancel(partner, REQUEST)
    assert error.value.fault == word


def test_silence_inside_tls_in_tls_ends_with_the_deadline(
    make_bank: MakeBank, serve: MakePeer, relaying: Callable[[Peer, int], Peer]
) -> None:
    peer = serve(hearing_then(Conversation.wait), context=server_context())
    proxy = relaying(peer, 65536)
    partner = through(proxy.url.partition("/v1")[0], peer.url, proxy_ca_bundle=AUTHORITY)
    bank = make_bank(deadline=timedelta(seconds=2))
    with waiting_for(timedelta(seconds=2)), pytest.raises(AnswerLost) as error:
        bank.cancel(partner, REQUEST)
    assert error.value.fault == "read_timeout"


def test_an_untrusted_bank_inside_tls_in_tls_is_sent_nothing(
    bank: Bank, serve: MakePeer, relaying: Callable[[Peer, int], Peer]
) -> None:
    peer = serve(answering(http()), context=server_context("other_host.pem"))
    proxy = relaying(peer, 65536)
    partner = through(proxy.url.partition("/v1")[0], peer.url, proxy_ca_bundle=AUTHORITY)
    with pytest.raises(BankUntrusted):
        bank.cancel(partner, REQUEST)
    assert peer.requests == []

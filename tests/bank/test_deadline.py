"""No server, however slow, holds a caller beyond the deadline."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta

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
    saying,
)
from tests.bank.tls_files import AUTHORITY, server_context
from tests.servers.deadlines import counted
from tests.servers.waiting import LIMIT, joined
from worker.bank import Bank
from worker.errors import AnswerLost, BankUnreachable, CallMisconfigured
from worker.net.backend import DeadlineBackend
from worker.net.deadline import Deadline
from worker.net.transport import bounded_transport

SHORT = timedelta(seconds=0.5)
HEAD, BODY = http().split(b"\r\n\r\n")


@contextmanager
def waiting_for(span: timedelta) -> Iterator[None]:
    """
    Hold that the block waits out the span, and no slow machine spends any of it before.

    That it waits no longer is seen by its end: the other side would go on for ever.
    """
    began = time.monotonic()
    with counted():
        yield
    assert time.monotonic() - began >= span.total_seconds() - 0.02


LOOKS = 100
"""So many looks at its deadline and a call is over: some thirty bytes that drip."""


@contextmanager
def crowded_port() -> Iterator[tuple[str, int]]:
    """Give an address that neither accepts nor refuses a connection."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(hearing_then(lambda talk: talk.drip(HEAD * 20)), id="header"),
        pytest.param(
            hearing_then(saying(HEAD + b"\r\n\r\n"), lambda talk: talk.drip(BODY)), id="body"
        ),
        pytest.param(
            hearing_then(lambda talk: talk.drip(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20)),
            id="interim answers",
        ),
    ],
)
def test_an_answer_that_drips_is_lost_at_the_deadline(
    make_bank: MakeBank, serve: MakePeer, play: Play
) -> None:
    """Each byte comes well within any timeout of a single read."""
    peer = serve(play)
    bank = make_bank()
    with counted(LIMIT / LOOKS), pytest.raises(AnswerLost) as told:
        bank.cancel(partner_at(peer.url), REQUEST)
    assert told.value.fault == "deadline"


@pytest.mark.parametrize("play", [hearing_then(Conversation.wait), Conversation.wait])
def test_silence_is_waited_for_until_the_deadline(
    make_bank: MakeBank, serve: MakePeer, play: Play
) -> None:
    peer = serve(play)
    bank = make_bank(deadline=SHORT)
    with waiting_for(SHORT), pytest.raises(AnswerLost) as told:
        bank.cancel(partner_at(peer.url), REQUEST)
    assert told.value.fault == "read_timeout"


def test_the_deadline_holds_over_tls_and_on_a_kept_connection(
    make_bank: MakeBank, serve: MakePeer
) -> None:
    def play(talk: Conversation) -> None:
        talk.hear()
        talk.say(http())
        talk.hear()
        talk.drip(http())

    peer = serve(play, context=server_context())
    bank = make_bank()
    partner = partner_at(peer.url, ca_bundle=AUTHORITY)
    bank.cancel(partner, REQUEST)
    with counted(LIMIT / LOOKS), pytest.raises(AnswerLost) as told:
        bank.cancel(partner, REQUEST)
    assert told.value.fault == "deadline"
    assert peer.connections == 1


def test_connecting_is_part_of_the_deadline(make_bank: MakeBank) -> None:
    with crowded_port() as address, waiting_for(SHORT), pytest.raises(BankUnreachable) as told:
        make_bank(deadline=SHORT).cancel(partner_at(f"http://127.0.0.1:{address[1]}/"), REQUEST)
    assert told.value.fault == "connect_timeout"


def test_a_silent_handshake_is_part_of_the_deadline(make_bank: MakeBank, serve: MakePeer) -> None:
    peer = serve(Conversation.wait)
    bank = make_bank(deadline=SHORT)
    with waiting_for(SHORT), pytest.raises(BankUnreachable) as told:
        bank.cancel(partner_at(peer.url.replace("http:", "https:")), REQUEST)
    assert told.value.fault == "connect_timeout"


def test_a_handshake_that_drips_is_part_of_the_deadline(
    make_bank: MakeBank, serve: MakePeer
) -> None:
    """The record that it begins with is never whole."""
    peer = serve(lambda talk: talk.drip(b"\x16\x03\x03" * 999))
    with counted(LIMIT / LOOKS), pytest.raises(BankUnreachable) as told:
        make_bank().cancel(partner_at(peer.url.replace("http:", "https:")), REQUEST)
    assert told.value.fault == "connect_timeout"


def test_a_call_waits_for_a_free_connection_for_half_of_its_deadline(
    make_bank: MakeBank, serve: MakePeer
) -> None:
    heard, enough = threading.Event(), threading.Event()
    peer = serve(hearing_then(lambda _: heard.set(), lambda _: enough.wait(LIMIT)))
    bank = make_bank(connections=1)
    first = threading.Thread(target=_in_vain, args=(bank, peer.url))
    first.start()
    assert heard.wait(LIMIT)
    with waiting_for(SHORT / 2), pytest.raises(BankUnreachable) as told:
        bank.cancel(partner_at(peer.url), REQUEST, timeout=SHORT)
    assert told.value.fault == "pool_timeout"
    assert "no connection became free" in str(told.value), "the wait must be ours, not httpcore's"
    assert len(peer.requests) == 1
    enough.set()
    joined(first)


def test_a_crowd_waits_no_longer_than_its_deadline(make_bank: MakeBank, serve: MakePeer) -> None:
    """
    Each of them is overtaken by others; httpcore's own waiting would begin anew each time.

    The patient ones are all answered, one after the other, and that takes longer than the
    hasty ones have: some of these give up, on any machine.
    """

    def unhurried(talk: Conversation) -> None:
        while talk.hear():
            talk.peer.closing.wait(0.1)
            talk.say(http())

    peer = serve(unhurried)
    bank = make_bank(connections=1)
    partner = partner_at(peer.url)
    start = threading.Barrier(32)

    def call(number: int) -> str:
        start.wait(LIMIT)
        try:
            within = SHORT if number % 2 else None
            return str(bank.cancel(partner, REQUEST, timeout=within).http_status)
        except (AnswerLost, BankUnreachable) as fault:
            return fault.fault

    with ThreadPoolExecutor(32) as threads:
        ends = list(threads.map(call, range(32)))
    assert set(ends[::2]) == {"200"}
    assert "pool_timeout" in ends[1::2]


def _in_vain(bank: Bank, url: str) -> None:
    with pytest.raises(AnswerLost):
        bank.cancel(partner_at(url), REQUEST)


def test_a_bank_that_does_not_read_cannot_stretch_the_sending() -> None:
    """The request fits into any socket's buffer; a larger one must not hang all the same."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, waiting_for(SHORT):
        with Deadline(SHORT.total_seconds()):
            stream = DeadlineBackend().connect_tcp("127.0.0.1", deaf.getsockname()[1])
            with pytest.raises(httpcore.WriteTimeout):
                stream.write(b"x" * 50_000_000)
        stream.close()


def test_a_caller_may_shorten_the_deadline_but_not_lengthen_it(
    make_bank: MakeBank, serve: MakePeer
) -> None:
    peer = serve(hearing_then(Conversation.wait))
    partner = partner_at(peer.url)
    with waiting_for(SHORT), pytest.raises(AnswerLost):
        make_bank().cancel(partner, REQUEST, timeout=SHORT)
    with waiting_for(SHORT), pytest.raises(AnswerLost):
        make_bank(deadline=SHORT).cancel(partner, REQUEST, timeout=timedelta(hours=1))


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=-3)])
def test_without_time_nothing_is_sent(bank: Bank, serve: MakePeer, timeout: timedelta) -> None:
    peer = serve(answering(http()))
    with pytest.raises(BankUnreachable) as told:
        bank.cancel(partner_at(peer.url), REQUEST, timeout=timeout)
    assert told.value.fault == "no_time_left"
    assert peer.connections == 0


def test_an_httpx_that_cannot_carry_the_deadline_is_told_at_once(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Renamed(httpx.HTTPTransport):
        def __init__(self, **_: object) -> None:
            self._inner_pool = httpcore.ConnectionPool()

    monkeypatch.setattr(httpx, "HTTPTransport", Renamed)
    with pytest.raises(CallMisconfigured) as told:
        make_bank()
    assert told.value.fault == "http_library"


def test_the_pool_of_the_transport_is_the_one_that_obeys_the_deadline(serve: MakePeer) -> None:
    """Guards httpx's private attribute: without a running deadline no call gets out."""
    peer = serve(answering(http()))
    with (
        httpx.Client(
            transport=bounded_transport(ssl.create_default_context(), connections=1)
        ) as client,
        pytest.raises(LookupError),
    ):
        client.get(peer.url)
    assert CANCELLED not in peer.requests

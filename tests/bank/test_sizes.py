"""An answer takes no more memory than we allow, whatever the bank sends."""

import gzip
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from tests.bank.conftest import MakeBank, MakePeer, partner_at
from tests.bank.peer import (
    CANCELLED,
    REQUEST,
    Conversation,
    answering,
    hearing_then,
    http,
    one_each,
)
from worker.bank import Bank
from worker.bank.client import MAX_BODY_BYTES

MIB = 1024 * 1024


@contextmanager
def within_memory(most: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most


def test_a_body_at_the_limit_is_read_and_one_byte_more_is_not(bank: Bank, serve: MakePeer) -> None:
    whole = CANCELLED.ljust(MAX_BODY_BYTES)
    peer = serve(answering(http(whole), http(whole + b" ")))
    partner = partner_at(peer.url)
    assert bank.cancel(partner, REQUEST).envelope is not None
    answer = bank.cancel(partner, REQUEST)
    assert (answer.http_status, answer.envelope) == (200, None)
    assert answer.flaw == "the body is longer than 262144 bytes"


def test_an_endless_body_is_a_flawed_answer(make_bank: MakeBank, serve: MakePeer) -> None:
    def flood(talk: Conversation) -> None:
        talk.say(b"HTTP/1.1 502 Bad Gateway\r\nRetry-After: 3\r\n\r\n")
        while not talk.peer.closing.is_set():
            talk.say(b"x" * 65536)

    peer = serve(hearing_then(flood))
    with within_memory(2 * MIB):
        answer = make_bank().cancel(partner_at(peer.url), REQUEST)
    assert (answer.http_status, answer.envelope) == (502, None)
    assert answer.retry_after == timedelta(seconds=3)


def test_an_oversized_answer_does_not_spoil_the_next_call(bank: Bank, serve: MakePeer) -> None:
    peer = serve(one_each(answering(http(b"x" * MIB)), answering(http())))
    partner = partner_at(peer.url)
    assert bank.cancel(partner, REQUEST).envelope is None
    assert bank.cancel(partner, REQUEST).envelope is not None


def test_a_compression_bomb_is_not_unpacked(make_bank: MakeBank, serve: MakePeer) -> None:
    """64 kilobytes on the wire, well within the limit, would be 64 megabytes in memory."""
    bomb = gzip.compress(bytes(64 * MIB))
    assert len(bomb) < MAX_BODY_BYTES
    peer = serve(answering(http(bomb, headers=["Content-Encoding: gzip"])))
    bank = make_bank()
    with within_memory(MIB):
        answer = bank.cancel(partner_at(peer.url), REQUEST)
    assert (answer.http_status, answer.envelope) == (200, None)
    assert answer.flaw == "the body is compressed, against our request"


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "zstd", "deflate, gzip", "x-what"])
def test_any_coding_but_identity_is_refused(bank: Bank, serve: MakePeer, coding: str) -> None:
    peer = serve(answering(http(headers=[f"Content-Encoding: {coding}"], status="500 No")))
    answer = bank.cancel(partner_at(peer.url), REQUEST)
    assert (answer.http_status, answer.envelope) == (500, None)


@pytest.mark.parametrize("coding", ["identity", " Identity ", ""])
def test_identity_is_no_compression(bank: Bank, serve: MakePeer, coding: str) -> None:
    peer = serve(answering(http(headers=[f"Content-Encoding: {coding}"])))
    assert bank.cancel(partner_at(peer.url), REQUEST).envelope is not None

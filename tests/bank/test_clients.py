"""One client per partner: connections are kept, settings may change, no call is dropped."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bank.conftest import SECRET, MakeBank, MakePeer, partner_at
from tests.bank.peer import REQUEST, Conversation, answering, hearing_then, http, saying
from tests.servers.waiting import LIMIT
from worker.bank import Bank
from worker.domain.kplus import CancelRequest
from worker.errors import AnswerLost, BankUnreachable


def test_a_connection_is_used_again(bank: Bank, serve: MakePeer) -> None:
    peer = serve(answering(http()))
    for _ in range(5):
        bank.cancel(partner_at(peer.url), REQUEST)
    assert (len(peer.requests), peer.connections) == (5, 1)


def test_a_connection_that_the_bank_closed_is_not_used_again(bank: Bank, serve: MakePeer) -> None:
    """Used again, it would turn a quiet bank into one doubt after each pause."""
    hung_up = threading.Event()

    def once(talk: Conversation) -> None:
        talk.hear()
        talk.say(http())
        talk.line.close()
        hung_up.set()

    peer = serve(once)
    for _ in range(3):
        hung_up.clear()
        assert bank.cancel(partner_at(peer.url), REQUEST).http_status == 200
        assert hung_up.wait(LIMIT)
    assert (len(peer.requests), peer.connections) == (3, 3)


def test_a_connection_closed_under_our_request_is_a_lost_answer(
    bank: Bank, serve: MakePeer
) -> None:
    """The bank may have taken the request before it closed: nobody can tell."""
    peer = serve(hearing_then(saying(http()), Conversation.hear))
    partner = partner_at(peer.url)
    bank.cancel(partner, REQUEST)
    with pytest.raises(AnswerLost) as told:
        bank.cancel(partner, REQUEST)
    assert told.value.fault == "connection_dropped"
    assert len(peer.requests) == 2


def test_thirty_two_threads_share_the_bank_and_get_their_own_answers(
    make_bank: MakeBank, serve: MakePeer
) -> None:
    def echo(talk: Conversation) -> None:
        while heard := talk.hear():
            uid = heard.split(b'"partnerTxnUid":"')[1].split(b'"')[0]
            talk.say(http(b'{"statusCode":"10","partnerTxnUid":"%s"}' % uid))

    peer = serve(echo)
    bank = make_bank(connections=8)
    partner = partner_at(peer.url)

    def call(number: int) -> bool:
        request = CancelRequest(f"uid-{number}", REQUEST.partner_id, "token", "reference")
        envelope = bank.cancel(partner, request).envelope
        return envelope is not None and envelope.partner_txn_uid == f"uid-{number}"

    with ThreadPoolExecutor(32) as threads:
        assert all(threads.map(call, range(400)))
    assert len(peer.requests) == 400
    assert peer.connections <= 8


def test_each_partner_has_connections_of_its_own(bank: Bank, serve: MakePeer) -> None:
    """TLS has proved who we are once per connection, not per request."""
    peer = serve(answering(http()))
    for partner_id in ("ONE", "TWO", "ONE", "TWO"):
        request = CancelRequest("uid", partner_id, "token", "reference")
        bank.cancel(partner_at(peer.url, partner_id=partner_id), request)
    assert peer.connections == 2


def test_changed_settings_get_a_new_client_and_equal_ones_do_not(
    bank: Bank, serve: MakePeer
) -> None:
    peer = serve(answering(http()))
    for secret in (SECRET, SECRET, "canary-other", "canary-other"):
        bank.cancel(partner_at(peer.url, secret=secret), REQUEST)
    assert peer.connections == 2
    assert b"Partner-Secret: canary-other\r\n" in peer.requests[-1]


def test_a_call_in_flight_outlives_a_change_of_settings_and_the_closing(
    bank: Bank, serve: MakePeer
) -> None:
    heard, go = threading.Event(), threading.Event()

    def slow(talk: Conversation) -> None:
        talk.hear()
        heard.set()
        go.wait(LIMIT)
        talk.say(http())

    partner = partner_at(serve(slow).url)
    changed = partner_at(serve(answering(http())).url)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(bank.cancel, partner, REQUEST)
        assert heard.wait(LIMIT)
        assert bank.cancel(changed, REQUEST).http_status == 200
        bank.close()
        go.set()
        assert call.result(LIMIT).http_status == 200


def test_a_closed_bank_sends_nothing(bank: Bank, serve: MakePeer) -> None:
    peer = serve(answering(http()))
    bank.cancel(partner_at(peer.url), REQUEST)
    bank.close()
    bank.close()
    with pytest.raises(BankUnreachable) as told:
        bank.cancel(partner_at(peer.url), REQUEST)
    assert told.value.fault == "closed"
    assert len(peer.requests) == 1


def test_closing_hangs_up_on_idle_connections(bank: Bank, serve: MakePeer) -> None:
    hung_up = threading.Event()

    def play(talk: Conversation) -> None:
        talk.hear()
        talk.say(http())
        if not talk.hear():
            hung_up.set()

    bank.cancel(partner_at(serve(play).url), REQUEST)
    bank.close()
    assert hung_up.wait(LIMIT)


def test_a_replaced_client_hangs_up_after_its_last_call(bank: Bank, serve: MakePeer) -> None:
    hung_up = threading.Event()

    def play(talk: Conversation) -> None:
        answering(http())(talk)
        hung_up.set()

    old = serve(play)
    bank.cancel(partner_at(old.url), REQUEST)
    bank.cancel(partner_at(serve(answering(http())).url), REQUEST)
    assert hung_up.wait(LIMIT)


def test_nothing_is_opened_by_the_import_or_by_the_constructor() -> None:
    """A pool made before a fork would be shared by the children."""
    probe = """
import os, threading
from datetime import timedelta
before = set(os.listdir('/proc/self/fd')), threading.active_count()
from worker.bank import Bank
from worker.domain.kplus import RequestDt
bank = Bank(deadline=timedelta(seconds=1), request_dt=RequestDt.UNIX, connections=4)
after = set(os.listdir('/proc/self/fd')), threading.active_count()
assert before == after, (before, after)
assert not bank._clients and bank._default_context is None
"""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not list open files")
    subprocess.run(
        [sys.executable, "-c", probe], check=True, timeout=LIMIT, cwd=Path(__file__).parents[2]
    )

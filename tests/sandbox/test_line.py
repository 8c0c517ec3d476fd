"""Lines that are dropped, cut short, held and dripped."""

import http.client
import json
import threading

import pytest

from tests.sandbox.caller import Caller, cancel_bytes, until_closed
from tests.servers.waiting import LIMIT, eventually, joined
from worker.sandbox import Sandbox


@pytest.mark.parametrize("token", ["drop-1", "drop2-1"])
def test_a_dropped_line_hides_an_effect_that_happened(
    bank: Sandbox, caller: Caller, token: str
) -> None:
    drops = 2 if token == "drop2-1" else 1
    for _ in range(drops):
        with pytest.raises(ConnectionResetError):
            caller.cancel(token, "U")
    assert bank.journal.effects() == {token: 1}
    assert caller.inquire(token).token_status == "CANCELLED"
    assert caller.cancel(token, "U").token_status == "CANCELLED"
    first, *_, last = bank.journal.entries(token=token)
    assert (first.http_status, first.answer, first.effect) == (None, None, True)
    assert (last.http_status, last.scenario, last.effect) == (200, "ok", False)


def test_a_line_dropped_before_any_effect_leaves_the_token_payable(
    bank: Sandbox, caller: Caller
) -> None:
    with pytest.raises(ConnectionResetError):
        caller.cancel("dropbefore-1")
    assert caller.inquire("dropbefore-1").token_status == "REQUESTED"
    assert caller.cancel("dropbefore-1").token_status == "CANCELLED"
    assert [entry.effect for entry in bank.journal.entries(operation="cancel")] == [False, True]


def test_a_closed_line_says_nothing_at_all(bank: Sandbox, caller: Caller) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("close-1", "U"))
        assert until_closed(sock) == b""
    assert bank.journal.effects() == {"close-1": 1}
    assert caller.cancel("close-1").token_status == "CANCELLED"


def test_half_a_head_is_all_that_comes(caller: Caller) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("closehead-1", "U"))
        assert until_closed(sock) == b"HTTP/1.1 200 OK\r\nContent-Type: applicati"
    assert caller.cancel("closehead-1").token_status == "CANCELLED"


def test_half_a_body_is_all_that_comes(bank: Sandbox, caller: Caller) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        caller.cancel("closehalf-1")
    assert caught.value.partial.startswith(b'{"partnerTxnUid"')
    assert bank.journal.entries()[0].answer is None
    assert caller.cancel("closehalf-1").token_status == "CANCELLED"


def test_half_a_body_may_end_with_a_reset(caller: Caller) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("drophalf-1", "U"))
        with pytest.raises(ConnectionResetError):
            until_closed(sock)
    assert caller.cancel("drophalf-1").token_status == "CANCELLED"


def test_a_stale_line_answers_once_and_is_gone(caller: Caller) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("stale-1", "U"))
        heard = until_closed(sock)
    assert b"Connection: close" not in heard
    assert heard.endswith(b'"status":"CANCELLED"}]}')


def test_a_stray_answer_stands_behind_the_true_one(caller: Caller) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("stray-1", "U"))
        sock.shutdown(1)
        heard = until_closed(sock)
    assert heard.count(b"HTTP/1.1 200 OK") == 2
    assert heard.endswith(b'"stray":true}')


@pytest.mark.parametrize("token", ["slow30-1", "crawl30-1", "hold-1"])
def test_a_client_that_gives_up_still_finds_the_effect(
    bank: Sandbox, caller: Caller, token: str
) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes(token, "U"))
        eventually(lambda: bool(bank.journal.effects()))
    assert caller.inquire(token, "I").token_status == "CANCELLED"
    eventually(lambda: bank.journal.counts()["in_progress"] == 0)
    entry = bank.journal.entries(uid="U")[0]
    assert (entry.client_left, entry.http_status, entry.effect) == (True, None, True)


def test_slow_is_slow_once_and_crawl_every_time(bank: Sandbox, caller: Caller) -> None:
    assert caller.cancel("slow0.02-1").token_status == "CANCELLED"
    assert caller.cancel("slow0.02-1").token_status == "CANCELLED"
    assert caller.cancel("crawl0.02-1").token_status == "CANCELLED"
    assert caller.cancel("crawl0.02-1").token_status == "CANCELLED"
    entries = bank.journal.entries()
    assert [entry.scenario for entry in entries] == ["slow", "ok", "crawl", "crawl"]
    slow = [entry for entry in entries if entry.scenario != "ok"]
    assert all((entry.finished_at or 0) - entry.arrived_at >= 0.02 for entry in slow)


def test_slowbefore_takes_effect_late_even_if_the_client_has_gone(
    bank: Sandbox, caller: Caller
) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("slowbefore0.05-1", "U"))
        assert bank.journal.wait_for_posts(1, timeout=LIMIT)
    eventually(lambda: bool(bank.journal.effects()))
    entry = bank.journal.entries()[0]
    assert (entry.client_left, entry.http_status, entry.effect) == (True, None, True)


def test_a_held_post_is_answered_when_it_is_released(bank: Sandbox, caller: Caller) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("holdbefore-1", "U"))
        assert bank.journal.wait_for_posts(1, timeout=LIMIT)
        assert bank.journal.counts()["in_progress"] == 1
        assert bank.journal.effects() == {}
        assert caller.send("POST", "/control/release/holdbefore-1").status == 200
        assert b"CANCELLED" in sock.recv(65_536)
    assert bank.journal.effects() == {"holdbefore-1": 1}


def test_a_post_held_after_its_effect_is_answered_when_it_is_released(
    bank: Sandbox, caller: Caller
) -> None:
    heard: list[object] = []
    asking = threading.Thread(target=lambda: heard.append(caller.cancel("hold-1").token_status))
    asking.start()
    eventually(lambda: bool(bank.journal.effects()))
    assert heard == []
    bank.release("hold-1")
    joined(asking)
    assert heard == ["CANCELLED"]


@pytest.mark.parametrize("token", ["driphead1-1", "dripbody2-1"])
def test_a_dripping_answer_comes_bit_by_bit_and_whole(
    bank: Sandbox, caller: Caller, token: str
) -> None:
    pieces: list[bytes] = []
    with caller.raw() as sock:
        sock.sendall(cancel_bytes(token, "U"))
        while not b"".join(pieces).endswith(b"}]}"):
            pieces.append(sock.recv(65_536))
    body = b"".join(pieces).partition(b"\r\n\r\n")[2]
    assert len(pieces) > 3
    assert json.loads(body)["statusCode"] == "00"
    assert bank.journal.entries()[0].http_status == 200


def test_a_client_may_leave_in_the_middle_of_a_drip(bank: Sandbox, caller: Caller) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("dripbody60000-1", "U"))
        assert sock.recv(10)
    eventually(lambda: bank.journal.counts()["in_progress"] == 0)
    assert bank.journal.entries()[0].client_left

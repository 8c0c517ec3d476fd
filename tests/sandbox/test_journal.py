"""The journal, judge of "once": it counts every POST and blames nobody without reason."""

import threading
import time

import pytest

from tests.sandbox.caller import PARTNER, SECRET, Caller, cancel_bytes
from tests.servers.waiting import LIMIT, eventually, joined
from worker.sandbox import Entry, Journal, Sandbox


def entry(uid: str = "U", token: str = "T", *, gone: bool = False) -> Entry:
    return Entry(0, "cancel", uid, PARTNER, token, "r", 0.0, has_left=lambda: gone)


def test_an_entry_says_all_there_is_to_know_about_a_post(bank: Sandbox, caller: Caller) -> None:
    before = time.time()
    caller.cancel("busy1-1", "RGH001")
    shown = caller.get("/journal").json["entries"][0]
    assert before <= shown.pop("arrived_at") <= shown.pop("finished_at") <= time.time()
    assert shown == {
        "seq": 1,
        "operation": "cancel",
        "partnerTxnUid": "RGH001",
        "partnerId": PARTNER,
        "tokenId": "busy1-1",
        "reference1": "order-1",
        "scenario": "busy",
        "http_status": 200,
        "answer": {"statusCode": "10", "errorCode": "general_error", "status": None},
        "effect": False,
        "credentials_ok": True,
        "client_left": False,
    }


def test_a_post_is_in_the_journal_while_it_is_in_progress(bank: Sandbox, caller: Caller) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("hold-1", "U"))
        assert bank.journal.wait_for_posts(1, timeout=LIMIT)
        shown = caller.get("/journal").json
        assert shown["entries"][0]["finished_at"] is None
        assert shown["counts"]["in_progress"] == 1


def test_two_posts_of_one_uid_at_the_same_time_are_an_overlap(
    bank: Sandbox, caller: Caller
) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("hold-1", "U"))
        eventually(lambda: bool(bank.journal.effects()))
        caller.cancel("ok-2", "U")
        caller.cancel("hold-1", "V")
        assert bank.journal.overlaps() == ["U"]
        assert bank.journal.overlapping_tokens() == ["hold-1"]
    shown = caller.get("/journal").json
    assert shown["overlapping_uids"] == ["U"]
    assert shown["overlapping_tokens"] == ["hold-1"]
    assert shown["counts"]["overlaps"] == 1


@pytest.mark.parametrize("token", ["hold-1", "slow30-1", "dripbody60000-1", "holdbefore-1"])
def test_a_client_that_hung_up_and_asks_again_does_not_overlap(
    bank: Sandbox, caller: Caller, token: str
) -> None:
    """A worker that is killed leaves its line; the next one asks while the bank still works."""
    with caller.raw() as sock:
        sock.sendall(cancel_bytes(token, "U"))
        assert bank.journal.wait_for_posts(1, timeout=LIMIT)
    caller.inquire(token, "U")
    assert bank.journal.overlaps() == []
    assert bank.journal.overlapping_tokens() == []
    assert bank.journal.entries()[0].client_left


def test_asking_again_as_soon_as_the_answer_is_there_does_not_overlap(
    bank: Sandbox, caller: Caller
) -> None:
    for scenario in ("ok", "chunked", "stray", "hints", "huge1"):
        with caller.raw() as sock:
            for _ in range(10):
                sock.sendall(cancel_bytes(f"{scenario}-1", scenario))
                answer = b""
                while b'"CANCELLED"' not in answer:
                    answer += sock.recv(65_536)
    assert bank.journal.overlaps() == []
    assert len(bank.journal) == 50


def test_the_journal_can_be_narrowed(caller: Caller) -> None:
    caller.cancel("ok-1", "A")
    caller.cancel("ok-1", "A")
    caller.cancel("ok-2", "B")
    caller.inquire("ok-2", "C")

    def seqs(query: str) -> list[int]:
        return [each["seq"] for each in caller.get(f"/journal?{query}").json["entries"]]

    assert seqs("since=2") == [3, 4]
    assert seqs("since=99") == []
    assert seqs("uid=A") == [1, 2]
    assert seqs("uid=A&since=1") == [2]
    assert seqs("token=ok-2") == [3, 4]
    assert seqs("operation=inquiry") == [4]
    assert seqs("limit=1") == [1]
    assert seqs("limit=0") == []
    assert caller.get("/journal?since=soon").status == 422
    narrowed = caller.get("/journal?uid=A&token=ok-1").json
    assert narrowed["posts_per_uid"] == {"A": 2}
    assert narrowed["effects_per_token"] == {"ok-1": 1}


def test_the_figures_of_the_whole_bank_are_kept_up(bank: Sandbox, caller: Caller) -> None:
    caller.cancel("ok-1", "A")
    caller.cancel("ok-1", "A")
    caller.cancel("http503-1", "B")
    caller.inquire("ok-1", "C")
    caller.cancel("wrongsecret-1", "D")
    with pytest.raises(ConnectionResetError):
        caller.cancel("dropbefore-1", "E")
    assert bank.journal.posts_per_uid() == {"A": 2, "B": 1, "C": 1, "D": 1, "E": 1}
    assert caller.get("/journal/counts").json == {
        "posts": 6,
        "by_operation": {"cancel": 5, "inquiry": 1},
        "by_http_status": {"200": 4, "503": 1, "none": 1},
        "in_progress": 0,
        "uids": 5,
        "effects": 1,
        "wrong_credentials": 1,
        "overlaps": 0,
        "last_seq": 6,
    }
    lives = caller.get("/journal").json["tokens"]
    assert lives == {"REQUESTED": 2, "PAID": 0, "CANCELLED": 1, "EXPIRED": 0, "NOT_FOUND": 0}


def test_a_reset_forgets_everything_but_never_reuses_a_number(
    bank: Sandbox, caller: Caller
) -> None:
    caller.cancel("busy1-1", "A")
    bank.change_rules(repeats="strict")
    assert caller.send("POST", "/control/reset").status == 200
    assert len(bank.journal) == 0
    assert bank.token("busy1-1") is None
    assert bank.rules.repeats == "process"
    assert caller.cancel("busy1-1", "A").code == "general_error"
    assert [each.seq for each in bank.journal.entries()] == [2]


def test_a_post_that_a_reset_overtook_ends_without_a_trace(bank: Sandbox, caller: Caller) -> None:
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("hold-1", "U"))
        eventually(lambda: bool(bank.journal.effects()))
        bank.reset()
        bank.release("hold-1")
        assert b"CANCELLED" in sock.recv(65_536)
    assert bank.journal.counts()["by_http_status"] == {}
    assert bank.journal.counts()["in_progress"] == 0


def test_what_python_hands_out_is_a_copy(bank: Sandbox, caller: Caller) -> None:
    caller.cancel("ok-1")
    bank.journal.entries()[0].effect = False
    assert bank.journal.entries()[0].effect


def test_the_busiest_second_is_found_wherever_it_begins() -> None:
    now = [0.0]
    journal = Journal(lambda: now[0])
    for moment in (0.0, 0.9, 1.0, 1.1, 1.8, 5.0):
        now[0] = moment
        journal.finish(journal.add(entry()))
    assert journal.busiest_second() == 4
    assert journal.busiest_second(PARTNER) == 4
    assert journal.busiest_second("nobody") == 0


def test_time_never_runs_backwards_in_the_journal() -> None:
    now = [10.0]
    journal = Journal(lambda: now[0])
    first = journal.add(entry())
    now[0] = 5.0
    journal.finish(first)
    second = journal.add(entry())
    assert (first.finished_at, second.arrived_at) == (10.0, 10.0)


def test_waiting_ends_in_vain_when_the_time_is_over() -> None:
    assert not Journal().wait_for_posts(1, timeout=0.001)


def test_figures_and_tails_of_a_long_journal_are_cheap() -> None:
    """They cost the same however long the journal is: here one is a hundred times as long."""
    short, long = _journal_of(200), _journal_of(20_000)
    assert _cost(long, since=19_990) < 20 * _cost(short, since=190)


def _journal_of(posts: int) -> Journal:
    journal = Journal()
    for number in range(posts):
        journal.finish(journal.add(entry(f"U{number}", f"T{number}")), http_status=200)
    return journal


def _cost(journal: Journal, *, since: int) -> float:
    """Return the seconds of this thread's own, the least of many tries: nobody else counts."""
    tries = []
    for _ in range(30):
        begun = time.thread_time()
        journal.counts()
        journal.overlaps()
        tail = journal.entries(since=since)
        tries.append(time.thread_time() - begun)
        assert len(tail) == 10
    return min(tries)


def test_the_journal_keeps_its_order_under_many_threads(bank: Sandbox) -> None:
    def ask(number: int) -> None:
        with Caller(bank.port) as caller:
            for turn in range(25):
                caller.cancel(f"ok-{number}-{turn}", f"U{number}-{turn}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    joined(*threads)
    entries = bank.journal.entries()
    assert [each.seq for each in entries] == list(range(1, 201))
    arrivals = [each.arrived_at for each in entries]
    assert arrivals == sorted(arrivals)
    assert bank.journal.overlaps() == []
    assert set(bank.journal.effects().values()) == {1}
    assert SECRET not in repr(entries)

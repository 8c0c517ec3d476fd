"""The other door: tokens, switches and scripts for tests and demonstrations."""

import pytest

from tests.sandbox.caller import Caller, cancel_bytes, until_closed
from tests.servers.waiting import LIMIT, eventually
from worker.sandbox import Rules, RulesError, Sandbox, UnknownScenario


def test_health_says_the_mode(bank: Sandbox, caller: Caller) -> None:
    assert caller.get("/healthz").json == {"status": "ok", "mode": "ok"}
    bank.change_rules(mode="down")
    assert caller.get("/healthz").json == {"status": "ok", "mode": "down"}


def test_a_token_can_be_looked_at_once_it_came_up(caller: Caller) -> None:
    assert caller.get("/tokens/ok-1").status == 404
    caller.cancel("ok-1")
    shown = caller.get("/tokens/ok-1").json
    assert (shown["tokenId"], shown["status"], shown["effects"]) == ("ok-1", "CANCELLED", 1)


def test_the_customer_can_pay_until_the_token_is_cancelled(bank: Sandbox, caller: Caller) -> None:
    assert caller.send("POST", "/control/pay/ok-1").json["status"] == "PAID"
    assert caller.cancel("ok-1").code == "qr_paid"
    caller.cancel("ok-2")
    heard = caller.send("POST", "/control/pay/ok-2")
    assert (heard.status, heard.json["status"]) == (409, "CANCELLED")
    assert caller.send("POST", "/control/pay/ok-1").status == 409
    assert bank.journal.posts_per_uid().keys() == {"UID000001", "UID000002"}


def test_a_token_can_be_let_expire(bank: Sandbox, caller: Caller) -> None:
    assert caller.send("POST", "/control/expire/ok-1").json["status"] == "EXPIRED"
    assert caller.cancel("ok-1").code == "qr_expired"
    assert bank.expire("ok-2")
    assert not bank.expire("ok-2")


def test_a_script_set_by_hand_outranks_the_token_id(bank: Sandbox, caller: Caller) -> None:
    wanted = {"cancel": ["drop", "code.qr_cancelled"], "inquiry": ["busy", "say.PAID"]}
    assert caller.put("/control/script/KP2XXX", wanted).status == 200
    with pytest.raises(ConnectionResetError):
        caller.cancel("KP2XXX")
    assert caller.cancel("KP2XXX").code == "qr_cancelled"
    assert caller.inquire("KP2XXX").code == "general_error"
    assert caller.inquire("KP2XXX").token_status == "PAID"
    bank.script("paid-1")
    assert caller.cancel("paid-1").token_status == "CANCELLED"


@pytest.mark.parametrize(
    "wanted",
    [
        [],
        {"cancels": ["ok"]},
        {"cancel": "ok"},
        {"cancel": [7]},
        {"cancel": ["nosuch"]},
        {"cancel": ["ok7"]},
        {"cancel": ["code"]},
        {"cancel": ["ok.text"]},
        {"cancel": [""]},
    ],
)
def test_a_script_that_makes_no_sense_is_refused(caller: Caller, wanted: object) -> None:
    heard = caller.put("/control/script/T", wanted)
    assert heard.status == 422
    assert heard.json["error"]


def test_a_script_in_python_must_make_sense_too(bank: Sandbox) -> None:
    with pytest.raises(UnknownScenario, match="nosuch"):
        bank.script("T", cancel=["nosuch"])


def test_a_bank_that_is_down_answers_503_to_all(bank: Sandbox, caller: Caller) -> None:
    assert caller.put("/control/mode", {"mode": "down"}).json["mode"] == "down"
    for heard in (caller.cancel("ok-1"), caller.inquire("ok-1")):
        assert (heard.status, heard.body) == (503, b"")
    assert bank.journal.effects() == {}
    caller.put("/control/mode", {"mode": "ok"})
    assert caller.cancel("ok-1").token_status == "CANCELLED"


def test_maintenance_is_a_page_with_retry_after(bank: Sandbox, caller: Caller) -> None:
    caller.put("/control/mode", {"mode": "maintenance", "retry_after_seconds": 120})
    heard = caller.cancel("ok-1")
    assert (heard.status, heard.headers["Retry-After"]) == (503, "120")
    assert b"maintenance" in heard.body


def test_a_silent_bank_reads_and_drops_the_line_when_the_mode_changes(
    bank: Sandbox, caller: Caller
) -> None:
    bank.change_rules(mode="silent")
    with caller.raw() as sock:
        sock.sendall(cancel_bytes("ok-1", "U"))
        assert bank.journal.wait_for_posts(1, timeout=LIMIT)
        assert caller.get("/journal/counts").json["in_progress"] == 1
        caller.put("/control/mode", {"mode": "ok"})
        with pytest.raises(ConnectionResetError):
            until_closed(sock)
    assert bank.journal.effects() == {}
    assert bank.journal.entries()[0].http_status is None


def test_a_refusing_bank_does_not_listen_and_closes_idle_lines(
    bank: Sandbox, caller: Caller
) -> None:
    assert caller.cancel("ok-1").status == 200
    with caller.raw() as idle:
        idle.sendall(cancel_bytes("ok-2", "U"))
        assert b"CANCELLED" in idle.recv(65_536)
        bank.change_rules(mode="refuse")
        assert until_closed(idle) == b""
    with pytest.raises(ConnectionRefusedError):
        caller.raw()
    bank.change_rules(mode="ok")
    caller.connection.close()
    assert caller.cancel("ok-3").token_status == "CANCELLED"
    assert len(bank.journal) == 3


def _is_open(caller: Caller) -> bool:
    try:
        caller.raw().close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_mode_may_end_by_itself(bank: Sandbox, caller: Caller) -> None:
    assert caller.put("/control/mode", {"mode": "refuse"}).status == 422
    assert caller.put("/control/mode", {"mode": "refuse", "for_seconds": 0.05}).status == 200
    eventually(lambda: _is_open(caller))
    caller.connection.close()
    assert caller.cancel("ok-1").token_status == "CANCELLED"
    assert bank.rules.mode == "ok"


def test_a_whole_bank_may_be_slow(bank: Sandbox, caller: Caller) -> None:
    caller.put("/control/mode", {"latency_ms": 30})
    caller.cancel("ok-1")
    entry = bank.journal.entries()[0]
    assert (entry.finished_at or 0) - entry.arrived_at >= 0.03


def test_a_rate_is_kept_for_each_partner_apart() -> None:
    now = [100.0]
    rules = Rules(rate_per_second=2, retry_after_seconds=7)
    with Sandbox(clock=lambda: now[0], rules=rules) as bank, Caller(bank.port) as caller:
        assert [caller.cancel(f"ok-{n}").status for n in range(3)] == [200, 200, 429]
        assert caller.cancel("ok-4").headers["Retry-After"] == "7"
        assert caller.cancel("ok-5", partnerId="another").status == 200
        now[0] += 1.0
        assert caller.cancel("ok-6").status == 200


def test_the_rules_of_the_whole_bank_can_tell_lives_otherwise(
    bank: Sandbox, caller: Caller
) -> None:
    caller.put("/control/mode", {"recancel": "code", "too_late": "list"})
    assert caller.cancel("ok-1").token_status == "CANCELLED"
    assert caller.cancel("ok-1").code == "qr_cancelled"
    assert caller.cancel("paid-1").token_status == "PAID"
    assert caller.cancel("expired-1").token_status == "EXPIRED"
    assert caller.cancel("unknown-1").code == "invalid_tokenId"


@pytest.mark.parametrize(
    "wanted",
    [
        [],
        {"mode": "asleep"},
        {"mode": ["ok"]},
        {"speed": 1},
        {"latency_ms": "fast"},
        {"latency_ms": -1},
        {"latency_ms": True},
        {"latency_ms": None},
        {"error_http": 400.5},
        {"request_dt": []},
        {"request_dt": ["unix", "sundial"]},
        {"request_dt": "unix"},
        {"for_seconds": "long"},
    ],
)
def test_a_rule_that_cannot_be_is_refused_and_changes_nothing(
    bank: Sandbox, caller: Caller, wanted: object
) -> None:
    heard = caller.put("/control/mode", wanted)
    assert heard.status == 422
    assert heard.json["error"]
    assert bank.rules == Rules()


def test_a_body_that_is_no_json_is_refused(caller: Caller) -> None:
    assert caller.send("PUT", "/control/mode", b"{").status == 422
    assert caller.send("PUT", "/control/script/T", b"[" * 100_000).status == 422


def test_a_rule_in_python_must_exist_too(bank: Sandbox) -> None:
    with pytest.raises(RulesError, match="speed"):
        bank.change_rules(speed=1)


def test_the_rules_in_force_can_be_read(caller: Caller) -> None:
    shown = caller.get("/control/mode").json
    assert shown["mode"] == "ok"
    assert caller.put("/control/mode", shown).json == shown


def test_the_scenarios_can_be_listed(caller: Caller) -> None:
    assert "drop" in caller.get("/scenarios").json["The line"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("PUT", "/journal"),
        ("DELETE", "/journal"),
        ("POST", "/control/pay/"),
        ("POST", "/control/nothing"),
        ("GET", "/v1/kplus/payment/cancel-token"),
    ],
)
def test_nothing_else_is_served_and_nothing_of_it_is_in_the_journal(
    bank: Sandbox, caller: Caller, method: str, path: str
) -> None:
    assert caller.send(method, path).status == 404
    assert len(bank.journal) == 0

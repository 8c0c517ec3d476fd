"""The customer pays while we cancel: one of the two happens, never both."""

import threading

import pytest

from tests.sandbox.caller import Caller
from tests.servers.waiting import LIMIT, joined
from worker.sandbox import Sandbox, TokenStatus


@pytest.mark.parametrize(
    ("token", "code", "told"),
    [("payrace-1", "qr_paid", None), ("payracelist-1", None, "PAID")],
)
def test_a_customer_who_is_faster_has_paid(
    bank: Sandbox, caller: Caller, token: str, code: str | None, told: str | None
) -> None:
    heard = caller.cancel(token)
    assert (heard.code, heard.token_status) == (code, told)
    assert caller.inquire(token).token_status == "PAID"
    assert bank.journal.effects() == {}


@pytest.mark.parametrize("token", ["payracedrop-1", "droppay-1"])
def test_a_payment_may_be_hidden_by_a_dropped_line(
    bank: Sandbox, caller: Caller, token: str
) -> None:
    with pytest.raises(ConnectionResetError):
        caller.cancel(token, "U")
    assert caller.cancel(token, "U").code == "qr_paid"
    assert caller.inquire(token).token_status == "PAID"
    assert bank.journal.effects() == {}


def test_the_customer_may_pay_while_the_bank_is_busy(bank: Sandbox, caller: Caller) -> None:
    assert caller.cancel("busypay-1", "U").code == "general_error"
    assert caller.cancel("busypay-1", "U").code == "qr_paid"
    assert caller.cancel("pay502-1", "V").status == 502
    assert caller.cancel("pay502-1", "V").code == "qr_paid"
    assert bank.journal.effects() == {}


def test_a_customer_who_is_too_late_pays_in_vain(bank: Sandbox, caller: Caller) -> None:
    with pytest.raises(ConnectionResetError):
        caller.cancel("latepay-1")
    assert caller.inquire("latepay-1").token_status == "CANCELLED"
    assert caller.send("POST", "/control/pay/latepay-1").status == 409
    assert bank.journal.effects() == {"latepay-1": 1}


def test_cancelpay_is_a_bank_that_contradicts_itself(bank: Sandbox, caller: Caller) -> None:
    assert caller.cancel("cancelpay-1").token_status == "CANCELLED"
    assert caller.inquire("cancelpay-1").token_status == "PAID"
    assert bank.journal.effects() == {}


def test_the_customer_may_pay_while_a_post_is_held(bank: Sandbox, caller: Caller) -> None:
    heard: list[object] = []
    asking = threading.Thread(target=lambda: heard.append(caller.cancel("holdbefore-1").code))
    asking.start()
    assert bank.journal.wait_for_posts(1, timeout=LIMIT)
    assert bank.pay("holdbefore-1")
    bank.release("holdbefore-1")
    joined(asking)
    assert heard == ["qr_paid"]


def test_a_race_of_customers_and_cancels_has_one_winner_per_token(bank: Sandbox) -> None:
    paid: list[str] = []

    def pay() -> None:
        paid.extend(f"ok-{n}" for n in range(100) if bank.pay(f"ok-{n}"))

    def cancel() -> None:
        with Caller(bank.port) as caller:
            for n in reversed(range(100)):
                caller.cancel(f"ok-{n}", f"U{n}")

    threads = [threading.Thread(target=each) for each in (pay, cancel, cancel)]
    for thread in threads:
        thread.start()
    joined(*threads)
    cancelled = bank.journal.effects()
    assert set(cancelled.values()) <= {1}
    assert set(cancelled) | set(paid) == {f"ok-{n}" for n in range(100)}
    assert set(cancelled) & set(paid) == set()
    assert len(paid) == len(set(paid))
    tokens = [bank.token(token) for token in paid]
    assert {token.status for token in tokens if token} <= {TokenStatus.PAID}

"""How a token id spells what happens to it."""

import pytest

from tests.sandbox.caller import Caller
from worker.sandbox import SCENARIOS, Sandbox


@pytest.mark.parametrize(
    "token",
    [
        "KP2XXX00003315900BBC3C374D644DE9F2BA5CDC189C27B",
        "nosuch-1",
        "busy3+nosuch-1",
        "ok7-1",
        "code-1",
        "ok.text-1",
        "-drop",
        "4f1d4f22-5860-14a2-e2b4-925742b9e78f",
        "drop ~-1",
        "ไทย-1",
    ],
)
def test_whatever_is_not_wholly_understood_is_an_ordinary_token(caller: Caller, token: str) -> None:
    assert caller.cancel(token).token_status == "CANCELLED"
    assert caller.inquire(token).token_status == "CANCELLED"


def test_acts_are_played_one_after_the_other(bank: Sandbox, caller: Caller) -> None:
    token = "busy2+garbage+http404+ok-1"
    for _ in range(6):
        caller.cancel(token)
    played = [entry.scenario for entry in bank.journal.entries()]
    assert played == ["busy", "busy", "garbage", "http", "ok", "ok"]


def test_a_last_act_without_a_count_is_played_for_ever(bank: Sandbox, caller: Caller) -> None:
    for _ in range(3):
        caller.cancel("busy1+garbage-1")
    played = [entry.scenario for entry in bank.journal.entries()]
    assert played == ["busy", "garbage", "garbage"]


def test_inquiries_hear_the_truth_unless_the_id_says_otherwise(caller: Caller) -> None:
    assert caller.inquire("garbage-1").token_status == "REQUESTED"
    assert caller.inquire("ok~garbage-1").headers["Content-Type"] == "text/html"
    assert caller.inquire("ok~busy1+paidlist-1").code == "general_error"
    assert caller.inquire("ok~busy1+paidlist-1").token_status == "PAID"


def test_cancels_and_inquiries_are_counted_apart(caller: Caller) -> None:
    assert caller.inquire("busy1~busy1-1").code == "general_error"
    assert caller.cancel("busy1~busy1-1").code == "general_error"
    assert caller.inquire("busy1~busy1-1").token_status == "REQUESTED"


def test_tokens_of_one_scenario_are_counted_apart(caller: Caller) -> None:
    assert caller.cancel("busy1-1").code == "general_error"
    assert caller.cancel("busy1-2").code == "general_error"
    assert caller.cancel("busy1-1").token_status == "CANCELLED"


def test_a_token_is_born_with_the_life_its_script_names(caller: Caller) -> None:
    assert caller.cancel("busy1+paid-1").code == "general_error"
    assert caller.inquire("busy1+paid-1").token_status == "PAID"


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_scenario_has_a_name_of_small_letters_and_says_what_it_does(name: str) -> None:
    assert name == name.lower()
    assert not set(name) & set("-+~. ")
    assert SCENARIOS[name].does

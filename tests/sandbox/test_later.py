"""Banks that want to be asked again."""

from email.utils import parsedate_to_datetime

import pytest

from tests.sandbox.caller import Caller
from worker.sandbox import Sandbox


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("busy3-1", 200, "general_error"),
        ("unavailable3-1", 503, None),
        ("busyboth3-1", 503, "general_error"),
    ],
)
def test_a_busy_bank_refuses_so_many_times_and_then_cancels(
    bank: Sandbox, caller: Caller, token: str, status: int, code: str | None
) -> None:
    for _ in range(3):
        heard = caller.cancel(token, "U")
        assert heard.status == status
        assert (heard.code if heard.body else None) == code
    assert bank.journal.effects() == {}
    assert caller.cancel(token, "U").token_status == "CANCELLED"
    assert bank.journal.effects() == {token: 1}


def test_busy_without_a_number_is_busy_once(caller: Caller) -> None:
    assert caller.cancel("busy-1").code == "general_error"
    assert caller.cancel("busy-1").token_status == "CANCELLED"


def test_busy_speaks_thai_and_ends_with_its_short_code(caller: Caller) -> None:
    desc = caller.cancel("busy-1").json["errorDesc"]
    assert desc.startswith("ระบบไม่สามารถ")
    assert desc.endswith("(EMG)")


def test_being_busy_with_cancels_does_not_keep_the_bank_from_inquiries(caller: Caller) -> None:
    caller.cancel("busy9-1")
    assert caller.inquire("busy9-1").token_status == "REQUESTED"


def test_a_rate_limit_names_the_seconds_to_wait(bank: Sandbox, caller: Caller) -> None:
    heard = caller.cancel("ratelimit30-1")
    assert (heard.status, heard.headers["Retry-After"]) == (429, "30")
    assert bank.journal.effects() == {}
    assert caller.cancel("ratelimit30-1").token_status == "CANCELLED"


def test_a_rate_limit_may_name_a_date_instead() -> None:
    with Sandbox(clock=lambda: 1519630776.0) as bank, Caller(bank.port) as caller:
        heard = caller.cancel("ratelimitdate30-1")
        assert heard.status == 429
        assert heard.headers["Retry-After"] == "Mon, 26 Feb 2018 07:40:06 GMT"
        date = parsedate_to_datetime(heard.headers["Retry-After"])
        assert date.timestamp() == 1519630776 + 30
        assert caller.cancel("ratelimitdate30-1").token_status == "CANCELLED"


def test_a_rate_limit_may_name_something_unreadable(caller: Caller) -> None:
    heard = caller.cancel("ratelimitodd2-1")
    assert (heard.status, heard.headers["Retry-After"]) == (429, "in a while")
    assert caller.cancel("ratelimitodd2-1").status == 429
    assert caller.cancel("ratelimitodd2-1").token_status == "CANCELLED"

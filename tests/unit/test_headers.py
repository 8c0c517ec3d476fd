"""Headers of a partner's own: which can be sent, and which never are."""

import pytest
from pydantic import TypeAdapter, ValidationError

from worker.domain.headers import FIXED, LONGEST, MOST, Headers
from worker.domain.kplus import CancelRequest

CANARY = "canary-aGVhZGVy"
READER: TypeAdapter[Headers] = TypeAdapter(Headers, config={"hide_input_in_errors": True})


def check(**headers: str) -> None:
    read = READER.validate_python(headers)
    assert {name: value.get_secret_value() for name, value in read} == headers
    assert READER.validate_python(read) == read


def refused(**headers: str) -> str:
    with pytest.raises(ValidationError) as told:
        READER.validate_python(headers)
    assert CANARY not in str(told.value)
    return str(told.value)


def test_what_a_gateway_asks_for_can_be_sent() -> None:
    check(**{"x-api-key": CANARY, "env-id": "KPLUS", "x-test-mode": "true"})
    check(**{"!#$%&'*+.^_`|~-9": "a b"})
    check()


@pytest.mark.parametrize("name", sorted(FIXED | {"Partner-Secret", "CONTENT-TYPE", "Host"}))
def test_what_the_protocol_fixes_is_refused(name: str) -> None:
    assert f"{name} must be left out" in refused(**{name: CANARY})


def test_the_names_of_the_banks_protocol_are_among_the_fixed_ones() -> None:
    request = CancelRequest("uid", "partner", "token", "reference")
    assert {name.lower() for name in request.headers("secret")} <= FIXED


@pytest.mark.parametrize("name", ["", "x y", "x:y", "x\r\ny", "ชื่อ", "(x)", "x" * 129])
def test_a_name_that_no_header_has_is_refused(name: str) -> None:
    assert "must have names of letters" in refused(**{name: CANARY})


@pytest.mark.parametrize(
    "value",
    ["", f" {CANARY}", f"{CANARY}\r\nX: 1", f"{CANARY}\0", f"{CANARY}ก", "x" * (LONGEST + 1)],
)
def test_a_value_that_no_header_carries_is_refused_and_not_shown(value: str) -> None:
    assert "x-api-key must be" in refused(**{"x-api-key": value})


def test_one_name_stands_once_and_there_are_not_too_many() -> None:
    assert "stands there twice" in refused(**{"x-key": "1", "X-KEY": "2"})
    assert "at most" in refused(**{f"x-{number}": "1" for number in range(MOST + 1)})

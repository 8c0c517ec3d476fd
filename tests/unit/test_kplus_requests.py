"""What is sent to the bank: exactly what its page asks for."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.kplus import CancelRequest, RequestDt

SECRET = "S1AyQ0ZCMDAwMDMzMTU5LWtwbHVzLXNpdC0yYzJwLWZhY2Vib29r"  # the bank's own example
SEED_TIME = datetime.fromtimestamp(1519630776, tz=UTC)
SEED = CancelRequest(
    partner_txn_uid="RGH001030118001",
    partner_id="KP2XXX000033159",
    token_id="KP2XXX00003315900BBC3C374D644DE9F2BA5CDC189C27B",
    reference1="R1",
)


def test_the_headers_are_the_three_of_the_banks_page() -> None:
    assert SEED.headers(SECRET) == {
        "content-type": "application/json",
        "Partner-Id": "KP2XXX000033159",
        "Partner-Secret": SECRET,
    }


def test_the_body_is_the_banks_example_field_by_field_and_in_its_order() -> None:
    body = SEED.body(SECRET, at=SEED_TIME, request_dt=RequestDt.UNIX)
    assert list(body.items()) == [
        ("partnerTxnUid", "RGH001030118001"),
        ("partnerId", "KP2XXX000033159"),
        ("partnerSecret", SECRET),
        ("requestDt", 1519630776),
        ("tokenId", "KP2XXX00003315900BBC3C374D644DE9F2BA5CDC189C27B"),
        ("reference1", "R1"),
    ]


def test_a_request_does_not_keep_the_secret() -> None:
    SEED.body(SECRET, at=SEED_TIME, request_dt=RequestDt.UNIX)
    assert SECRET not in repr(SEED)


@pytest.mark.parametrize(
    ("form", "written"),
    [
        (RequestDt.UNIX, 1519630776),
        (RequestDt.UNIX_MS, 1519630776411),
        (RequestDt.ISO8601, "2018-02-26T14:39:36.411+07:00"),
    ],
)
def test_request_dt_has_three_forms(form: RequestDt, written: int | str) -> None:
    moment = SEED_TIME + timedelta(milliseconds=411)
    told = form.write(moment)
    assert told == written
    assert type(told) is type(written)


@pytest.mark.parametrize("form", RequestDt)
def test_request_dt_does_not_depend_on_the_zone_of_our_clock(form: RequestDt) -> None:
    elsewhere = SEED_TIME.astimezone(timezone(timedelta(hours=-5)))
    assert form.write(elsewhere) == form.write(SEED_TIME)


@given(st.integers(0, 4102444800000))
def test_milliseconds_are_written_exactly(milliseconds: int) -> None:
    """Floats would lose one now and then: 1.001 s * 1000 is not 1001."""
    moment = datetime.fromtimestamp(0, tz=UTC) + timedelta(milliseconds=milliseconds)
    assert RequestDt.UNIX_MS.write(moment) == milliseconds
    assert RequestDt.UNIX.write(moment) == milliseconds // 1000

"""`expiresAt` in each of its forms, as one aware moment in UTC."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.orders import EARLIEST, LATEST, read_order
from worker.errors import InvalidOrder

MOMENT = datetime(2018, 2, 26, 7, 39, 36, tzinfo=UTC)
BANGKOK = timezone(timedelta(hours=7))


class Adrift(tzinfo):
    """A zone that does not know its offset."""

    def utcoffset(self, _: datetime | None) -> timedelta | None:
        return None

    def tzname(self, _: datetime | None) -> str:
        return "adrift"

    def dst(self, _: datetime | None) -> timedelta | None:
        return None


def expiry(value: object) -> datetime | None:
    """Return the expiry of an order that carries this value."""
    return read_order(
        {"partnerTxnUid": "A", "tokenId": "T", "reference1": "r", "expiresAt": value}
    ).expires_at


@pytest.mark.parametrize(
    "value",
    [
        1519630776,
        1519630776.0,
        "1519630776",
        " 1519630776 ",
        "1519630776.0",
        "1519630776.",
        "2018-02-26T07:39:36Z",
        "2018-02-26T14:39:36+07:00",
        "2018-02-26 14:39:36+0700",
        "20180226T143936+07",
        MOMENT,
        MOMENT.astimezone(BANGKOK),
    ],
)
def test_every_form_names_the_same_moment(value: object) -> None:
    assert expiry(value) == MOMENT


@pytest.mark.parametrize("value", [MOMENT.astimezone(BANGKOK), "2018-02-26T14:39:36+07:00"])
def test_an_expiry_is_kept_in_utc(value: object) -> None:
    found = expiry(value)
    assert found is not None
    assert found.tzinfo is UTC


def test_fractions_of_a_second_are_kept() -> None:
    half = MOMENT + timedelta(milliseconds=500)
    assert expiry(1519630776.5) == expiry("1519630776.5") == half
    assert expiry("2018-02-26T07:39:36.500Z") == half


@pytest.mark.parametrize("moment", [EARLIEST, LATEST])
def test_the_first_and_the_last_moment_are_taken(moment: datetime) -> None:
    assert expiry(moment) == expiry(int(moment.timestamp())) == moment


@pytest.mark.parametrize(
    "naive",
    [MOMENT.replace(tzinfo=None), MOMENT.replace(tzinfo=Adrift()), "2018-02-26T07:39:36"],
)
def test_a_time_without_an_offset_is_refused(naive: object) -> None:
    """Bangkok or UTC: seven hours apart, and no way to know."""
    with pytest.raises(InvalidOrder, match="expiresAt: must carry an offset"):
        expiry(naive)


def test_milliseconds_are_refused_and_not_taken_for_a_far_future() -> None:
    with pytest.raises(InvalidOrder, match="milliseconds are too large"):
        expiry(1519630776000)


@given(st.timedeltas(timedelta(0), LATEST - EARLIEST), st.timezones())
def test_what_is_written_as_iso_8601_is_read_back(since: timedelta, zone: tzinfo) -> None:
    moment = EARLIEST + since
    assert expiry(moment.astimezone(zone).isoformat()) == moment


@given(st.integers(int(EARLIEST.timestamp()), int(LATEST.timestamp())))
def test_every_second_of_the_century_is_read(seconds: int) -> None:
    expected = datetime.fromtimestamp(seconds, tz=UTC)
    assert expiry(seconds) == expiry(str(seconds)) == expected

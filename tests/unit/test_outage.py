"""An outage of the broker: when a worker tries again, and how much it says."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from worker.broker.consumer.outage import REFUSALS, STEADY_SECONDS, Outage
from worker.telemetry.sparse import EVERY_SECONDS, FIRST, Sparse

BROKER = "127.0.0.1:6379/0"
AWAY = OSError("nobody there")
REFUSED = [kind() for kind in REFUSALS]


class Time:
    """A clock that goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def outage(time: Time) -> Outage:
    return Outage(monotonic=time, sleep=time.sleep)


def waits(outage: Outage, time: Time, error: Exception, times: int) -> list[float]:
    """Return how long it waits after each of so many failures."""
    found = []
    for _ in range(times):
        outage.failed(error, broker=BROKER)
        before = time.now
        outage.wait(lambda: None)
        found.append(round(time.now - before, 3))
    return found


def test_a_broker_that_is_away_is_tried_at_once_and_then_more_seldom(
    outage: Outage, time: Time
) -> None:
    assert waits(outage, time, AWAY, 8) == [0, 1, 2, 4, 8, 10, 10, 10]


@pytest.mark.parametrize("error", REFUSED, ids=repr)
def test_one_that_refuses_is_tried_still_more_seldom(
    outage: Outage, time: Time, error: Exception
) -> None:
    assert waits(outage, time, error, 9) == [0, 1, 2, 4, 8, 16, 30, 30, 30]


def test_an_error_in_a_wrapper_counts_as_what_it_is(outage: Outage) -> None:
    wrapped = RuntimeError("kombu's")
    wrapped.__cause__ = REFUSED[-1]
    with capture_logs() as lines:
        outage.failed(wrapped, broker=BROKER)
    assert [line["event"] for line in lines] == ["broker_refuses"]
    assert "doctor" in lines[0]["advice"]


@pytest.mark.parametrize("error", [AWAY, *REFUSED], ids=repr)
def test_after_five_lines_there_is_one_in_thirty_seconds(
    outage: Outage, time: Time, error: Exception
) -> None:
    with capture_logs() as lines:
        began = time.now
        while time.now < began + 3600:
            outage.failed(error, broker=BROKER)
            outage.wait(lambda: None)
    assert FIRST < len(lines) <= FIRST + 3600 / EVERY_SECONDS
    assert {line["broker"] for line in lines} == {BROKER}


def test_a_wait_ends_where_the_worker_is_to_stop(outage: Outage, time: Time) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        if time.now > 1002:
            raise Stop

    waits(outage, time, AWAY, 1)
    for _ in range(5):
        outage.failed(AWAY, broker=BROKER)
    with pytest.raises(Stop):
        outage.wait(stop)
    assert time.now < 1003


def test_it_is_over_when_nothing_has_failed_since(outage: Outage, time: Time) -> None:
    waits(outage, time, AWAY, 6)
    with capture_logs() as lines:
        outage.failed(AWAY, broker=BROKER)
        assert not outage.over(failures=6)
        time.sleep(STEADY_SECONDS)
        assert outage.over(failures=7)
        assert not outage.over(failures=7)
        assert not outage.over(failures=0)
    assert [line["event"] for line in lines if line["log_level"] == "info"] == [
        "broker_serves_again"
    ]
    assert (outage.failures, waits(outage, time, AWAY, 2)) == (0, [0, 1])


def test_lines_begin_anew_with_the_next_outage(time: Time) -> None:
    sparse = Sparse(monotonic=time)
    first: list[Any] = [sparse.is_due() for _ in range(FIRST + 2)]
    assert first == [True] * FIRST + [False] * 2
    time.sleep(EVERY_SECONDS)
    assert (sparse.is_due(), sparse.is_due()) == (True, False)
    sparse.end()
    assert [sparse.is_due() for _ in range(FIRST + 1)] == [True] * FIRST + [False]

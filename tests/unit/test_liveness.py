"""What counts as a sign of life, and what as a stall."""

from datetime import timedelta

import pytest

from worker.process.liveness import End, Failure, Liveness

SECOND = timedelta(seconds=1)
PASS = "no pass of the sweep has ended"
TASK = "a task has not ended"
IGNORED = "messages wait, and none has come here"


class Time:
    """Seconds that pass when the test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def progress(time: Time) -> Liveness:
    return Liveness(monotonic=time)


def told(progress: Liveness) -> tuple[str, float]:
    stall = progress.stall()
    return stall.what, stall.duration / SECOND


def test_a_worker_that_begins_has_not_stalled(progress: Liveness) -> None:
    assert progress.stall().duration == timedelta(0)


def test_a_sweep_that_ends_no_pass_stalls(progress: Liveness, time: Time) -> None:
    time.now += 5
    progress.sweep_ended(queued=0)
    time.now += 30
    assert told(progress) == (PASS, 30)
    progress.sweep_ended(queued=0)
    assert progress.stall().duration == timedelta(0)


def test_a_task_that_does_not_end_stalls_for_as_long_as_it_runs(
    progress: Liveness, time: Time
) -> None:
    with progress.task_running():
        time.now += 40
        progress.sweep_ended(queued=0)
        with progress.task_running():
            time.now += 1
            assert told(progress) == (TASK, 41)
    progress.sweep_ended(queued=0)
    assert progress.stall().duration == timedelta(0)


def test_a_task_that_fails_has_ended(progress: Liveness, time: Time) -> None:
    with pytest.raises(ValueError, match="as tasks may"), progress.task_running():
        raise ValueError("as tasks may")
    time.now += 40
    assert told(progress) == (PASS, 40)


def test_messages_that_wait_while_none_comes_are_a_stall(progress: Liveness, time: Time) -> None:
    time.now += 100
    progress.sweep_ended(queued=3)
    assert progress.stall().duration == timedelta(0), "the first look is the beginning"
    for _ in range(50):
        time.now += 1
        progress.sweep_ended(queued=128)
    assert told(progress) == (IGNORED, 50)


def test_a_message_that_comes_ends_that_stall(progress: Liveness, time: Time) -> None:
    progress.sweep_ended(queued=3)
    time.now += 50
    progress.message_received()
    progress.sweep_ended(queued=3)
    assert progress.stall().duration == timedelta(0)


def test_a_queue_that_is_empty_for_a_moment_ends_it_too(progress: Liveness, time: Time) -> None:
    """Somebody takes the messages: this worker is idle, not stuck."""
    progress.sweep_ended(queued=3)
    time.now += 50
    progress.sweep_ended(queued=0)
    progress.sweep_ended(queued=3)
    assert progress.stall().duration == timedelta(0)


def test_a_process_that_slept_is_forgiven(progress: Liveness, time: Time) -> None:
    """Its marks are old because nothing of it ran, not because something hangs."""
    with progress.task_running():
        progress.sweep_ended(queued=3)
        time.now += 3600
        progress.reset()
        assert progress.stall().duration == timedelta(0)
        time.now += 7
        progress.sweep_ended(queued=0)
        assert told(progress) == (TASK, 7)


FAILS = "no pass of the sweep has succeeded"
AWAY = Failure("the server is away", restart_may_help=False)
BROKEN = Failure("cannot execute UPDATE in a read-only transaction")


def fail(progress: Liveness, time: Time, failure: Failure, *, seconds: int) -> None:
    for _ in range(seconds):
        progress.sweep_ended(queued=0, failure=failure)
        time.now += 1


def ends(progress: Liveness) -> dict[End, float]:
    return {each.end: each.duration / SECOND for each in progress.stalls()}


def test_passes_that_fail_one_after_the_other_are_a_stall(progress: Liveness, time: Time) -> None:
    fail(progress, time, BROKEN, seconds=40)
    stall = progress.stall()
    assert str(stall) == f"{FAILS} for 40 s: {BROKEN.reason}"
    assert ends(progress)[End.IN_ORDER] == 40
    progress.sweep_ended(queued=0)
    assert progress.stall().duration == timedelta(0)


def test_passes_that_would_fail_in_any_process_are_told_and_end_none(
    progress: Liveness, time: Time
) -> None:
    fail(progress, time, AWAY, seconds=40)
    assert str(progress.stall()) == f"{FAILS} for 40 s: {AWAY.reason}"
    assert End.IN_ORDER not in ends(progress)


def test_a_long_outage_does_not_count_for_what_follows_it(progress: Liveness, time: Time) -> None:
    fail(progress, time, AWAY, seconds=3600)
    fail(progress, time, BROKEN, seconds=2)
    assert ends(progress)[End.NOT] == 3602
    assert ends(progress)[End.IN_ORDER] == 2


def test_passes_of_another_thread_that_fail_are_told_too(progress: Liveness, time: Time) -> None:
    progress.pass_ended("webhook-relay", BROKEN)
    time.now += 7
    progress.sweep_ended(queued=0)
    assert told(progress) == ("no pass of the webhook-relay has succeeded", 7)
    progress.pass_ended("webhook-relay")
    assert progress.stall().duration == timedelta(0)


def test_a_process_that_slept_is_forgiven_for_failed_passes(progress: Liveness, time: Time) -> None:
    fail(progress, time, BROKEN, seconds=40)
    progress.reset()
    assert progress.stall().duration == timedelta(0)

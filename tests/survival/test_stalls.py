"""The longest stall: only what waits for its first call can stand still."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.survival.stalls import longest_stall
from worker.store import JobFile

AT = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else AT + timedelta(seconds=seconds)


def file(created: float, *starts: float, finished: float | None = None) -> JobFile:
    job = {"created_at": at(created), "finished_at": at(finished)}
    return JobFile(job, [{"started_at": at(start)} for start in starts], [])


@pytest.mark.parametrize(
    ("files", "seconds"),
    [
        ([], 0),
        ([file(0, 2)], 2),
        ([file(0, 1), file(0, 4)], 3),
        ([file(0, 1), file(3, 4)], 1),
        ([file(0, 1, 50, finished=51)], 1),
        ([file(0, 1, 50), file(2, 51)], 48),
        ([file(0, finished=7)], 7),
        ([file(0)], 0),
        ([file(0, 1), file(0, 2), file(0, 3)], 1),
        ([file(5, 4)], 0),
    ],
    ids=[
        "no job",
        "one job",
        "two wait, one goes first",
        "nothing waits between",
        "a job's own backoff is no stall",
        "another's backoff, while one waits for its first call",
        "ended without a call",
        "never moved, which is told as not final",
        "one after the other",
        "a clock that was set back",
    ],
)
def test_the_longest_stall(files: list[JobFile], seconds: float) -> None:
    assert longest_stall(files) == timedelta(seconds=seconds)

"""How long nothing moved although something waited."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from worker.store import JobFile

NONE = timedelta(0)


def longest_stall(files: Iterable[JobFile]) -> timedelta:
    """
    Return the longest time in which a job waited for its first call and no call of any job began.

    A wait after a call does not count: the job has a time of its own then. A job that ended
    without a call waited until its end.
    """
    begins: set[datetime] = set()
    created: dict[datetime, datetime] = {}
    """The earliest acceptance of the jobs whose first call began at a time."""
    for file in files:
        starts = [row["started_at"] for row in file.attempts]
        first = min(starts, default=file.job["finished_at"])
        if first is not None:
            begins.update(starts, [first])
            accepted = file.job["created_at"]
            created[first] = min(created.get(first, accepted), accepted)
    return max(_stalls(sorted(begins), created), default=NONE)


def _stalls(begins: list[datetime], created: Mapping[datetime, datetime]) -> Iterator[timedelta]:
    """Yield the stall that each call ended, the last call first."""
    waiting_since: datetime | None = None
    for before, begin in reversed([*pairwise([datetime.min.replace(tzinfo=UTC), *begins])]):
        accepted = created.get(begin)
        if accepted is not None:
            waiting_since = min(waiting_since or accepted, accepted)
        if waiting_since is not None:
            yield max(begin - max(waiting_since, before), NONE)

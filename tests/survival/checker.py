"""The invariants: the bank's journal, the table and the producer's list, held together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.survival.plan import Job
from tests.survival.stalls import longest_stall
from worker.sandbox import Entry
from worker.store import JobFile

# What the bank itself must hold of a token for an outcome to be true.
TRUTH = {
    "cancelled": "CANCELLED",
    "already_cancelled": "CANCELLED",
    "paid": "PAID",
    "expired": "EXPIRED",
}
FINAL = frozenset({"succeeded", "refused", "exhausted"})
ENDS = frozenset({"succeed", "refuse"})
ENDING_CODES = frozenset({"qr_cancelled", "qr_paid", "qr_expired"})
LATE = "heard after the lease had ended"

INVARIANTS = {
    "lost": "on the producer's list, and not in the table",
    "unfinished": "not final at the end",
    "overlapping": "two POSTs at the same time",
    "doubled": "another POST though the answer of the one before was clear and not lost",
    "untrue": "an outcome that is not right, or not true at the bank",
    "unwritten": "conversations and attempt rows that do not add up",
    "invented": "a job that nobody ordered",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is known at the end of a run: the producer's list, the bank, the table."""

    jobs: Sequence[Job]
    posts: Sequence[Entry]
    overlaps: Sequence[str]
    lives: Mapping[str, str]
    files: Mapping[str, JobFile]
    busiest_second: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What holds and what does not: the uids that violate each invariant, and the figures."""

    jobs: int
    asked_again: int
    longest: timedelta | None
    stall: timedelta
    busiest_second: int
    against: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether every invariant holds."""
        return not any(self.against.values())

    def line(self, scenario: str, *, faults: str, seconds: float) -> str:
        """Return the run as one line of the table."""
        doubled = {*self._of("overlapping"), *self._of("doubled")}
        longest = "-" if self.longest is None else _seconds(self.longest)
        figures = (self.jobs, faults, len(self._of("lost")), len(doubled))
        delays = (longest, _seconds(self.stall), self.busiest_second)
        cells = (scenario, *figures, len(self._of("unfinished")), self.asked_again, *delays)
        return f"| {' | '.join(map(str, cells))} | {seconds:.0f} s |"

    def _of(self, invariant: str) -> tuple[str, ...]:
        return self.against.get(invariant, ())

    def __str__(self) -> str:
        broken = [(name, uids) for name, uids in self.against.items() if uids]
        return "\n".join(
            f"{name} ({INVARIANTS[name]}): {len(uids)}: {', '.join(uids[:10])}"
            for name, uids in broken
        )


def _seconds(time: timedelta) -> str:
    return f"{time.total_seconds():.1f} s"


def check(seen: Seen) -> Verdict:
    """Judge a run. Pure: what it is told is all it knows."""
    posts = _by_uid(seen.posts)
    wanted = {job.uid: job for job in seen.jobs}
    files = {uid: file for uid, file in seen.files.items() if uid in wanted}
    asked = {uid: _asked_again(entries) for uid, entries in posts.items()}
    against = {
        "lost": [uid for uid in wanted if uid not in files],
        "unfinished": [uid for uid, file in files.items() if file.job["state"] not in FINAL],
        "overlapping": list(seen.overlaps),
        "doubled": [uid for uid, file in files.items() if _doubled(posts.get(uid, []), file)],
        "untrue": [uid for uid, file in files.items() if _untrue(wanted[uid], file, seen.lives)],
        "unwritten": [uid for uid, file in files.items() if _unwritten(posts.get(uid, []), file)],
        "invented": [uid for uid in {*posts, *seen.files} if uid not in wanted],
    }
    return Verdict(
        jobs=len(wanted),
        asked_again=sum(asked.values()),
        longest=max((_delay(file) for file in files.values() if _ended(file)), default=None),
        stall=longest_stall(files.values()),
        busiest_second=seen.busiest_second,
        against={name: tuple(sorted(uids)) for name, uids in against.items()},
    )


def _by_uid(posts: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return the cancels of each uid in the order of arrival; an inquiry has a uid of its own."""
    found: dict[str, list[Entry]] = {}
    for post in posts:
        if post.operation == "cancel":
            found.setdefault(post.partner_txn_uid, []).append(post)
    return found


def _asked_again(posts: Sequence[Entry]) -> int:
    return max(0, len(posts) - 1)


def _doubled(posts: Sequence[Entry], file: JobFile) -> bool:
    """
    Say whether the bank was asked again without cause.

    Each clear answer that the bank gave before the last POST must have been lost on its way,
    which the attempt rows tell: a worker that was killed or too late leaves one that heard
    nothing. Nobody asks again after a row that heard the end.
    """
    earlier = posts[:-1]
    lost_on_the_line = sum(not _delivered(post) for post in earlier)
    clear = sum(_delivered(post) and _is_clear(post) for post in earlier)
    deaf = sum(_stands_for(row) for row in _cancels(file) if not _heard(row))
    too_many = clear > max(0, deaf - lost_on_the_line)
    return too_many or any(_heard(row) and row["decision"] in ENDS for row in file.attempts[:-1])


def _delivered(post: Entry) -> bool:
    return post.http_status is not None and not post.client_left


def _is_clear(post: Entry) -> bool:
    answer = post.answer or {}
    if answer.get("statusCode") == "00":
        return answer.get("status") in set(TRUTH.values())
    return answer.get("errorCode") in ENDING_CODES


def _heard(row: Mapping[str, Any]) -> bool:
    return row["http_status"] is not None and LATE not in row["detail"]


def _cancels(file: JobFile) -> list[dict[str, Any]]:
    return [row for row in file.attempts if row["kind"] == "cancel"]


def _untrue(job: Job, file: JobFile, lives: Mapping[str, str]) -> bool:
    """Say whether a final job's outcome is wrong; whether it is final is another invariant."""
    outcome = file.job["outcome"]
    if file.job["state"] not in FINAL:
        return bool(outcome)
    # What was never asked about has no life at the bank.
    return outcome not in job.right or lives.get(job.token) != TRUTH.get(outcome)


def _unwritten(posts: Sequence[Entry], file: JobFile) -> bool:
    """Say whether evidence is missing: a row may lack its POST (a worker died), no POST its row."""
    if not _ended(file):
        return False
    rows = sum(map(_stands_for, file.attempts))
    spent = sum(_stands_for(row) for row in file.attempts if row["spent"])
    return (
        len(posts) > sum(map(_stands_for, _cancels(file)))
        or rows != file.job["conversations"]
        or spent != file.job["attempts"]
    )


def _stands_for(row: Mapping[str, Any]) -> int:
    """Return the conversations of a row: itself, and those that were folded into it."""
    return 1 + int(row.get("folded") or 0)


def _ended(file: JobFile) -> bool:
    return file.job["finished_at"] is not None


def _delay(file: JobFile) -> timedelta:
    delay: timedelta = file.job["finished_at"] - file.job["created_at"]
    return delay

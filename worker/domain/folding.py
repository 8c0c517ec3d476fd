"""Which attempt rows of a job are folded into one, so that long doubt keeps few rows. Pure."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

MANY_CONVERSATIONS = 30
"""Only jobs with more conversations are looked at: nearly none has."""
FOLDED_AFTER = timedelta(hours=1)
"""A younger row stays as it is, whatever it says."""


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """
    A stored attempt row, and the conversations that were folded into it before.

    `words` is all by which it was judged, and by which a dialect would judge it again.
    """

    number: int
    started_at: datetime
    words: Hashable
    folded: int = 0
    minutes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fold:
    """A row that stands for `folded` more conversations; the rows of `gone` are deleted."""

    number: int
    folded: int
    minutes: dict[str, int]
    gone: tuple[int, ...]


def folds(attempts: Iterable[StoredAttempt]) -> Iterator[Fold]:
    """
    Yield what becomes of these rows of one job, which are ordered by their number.

    Of those with equal words the first and the last stay, and the last takes in what lies between
    them. So stored answers lead to the same conclusion as before, in whatever dialect: it asks
    which came first, and what came after.
    """
    alike: dict[Hashable, list[StoredAttempt]] = {}
    for attempt in attempts:
        alike.setdefault(attempt.words, []).append(attempt)
    for _, *between, last in (each for each in alike.values() if len(each) > 1):
        if between:
            yield _fold(between, last)


def _fold(between: list[StoredAttempt], last: StoredAttempt) -> Fold:
    minutes = Counter(last.minutes)
    for attempt in between:
        minutes.update(attempt.minutes)
        minutes[_minute(attempt.started_at)] += 1
    return Fold(
        number=last.number,
        folded=last.folded + sum(1 + attempt.folded for attempt in between),
        minutes=dict(sorted(minutes.items())),
        gone=tuple(attempt.number for attempt in between),
    )


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%MZ}"

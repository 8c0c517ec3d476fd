"""How many events may be on their way at once: no event keeps a slot that others could use."""

import itertools
from dataclasses import dataclass

from worker.store import Delivery

BATCH = 8
"""How many events one worker sends at once to a receiver that answers."""
RETRIES = 3
"""How many of them may be events that have failed before."""
OVERTAKEN = 4
"""An event that so many later ones have overtaken holds no slot any more."""
SPARE = 2
"""Slots more while an event is overtaken: until then it has held one of the others'."""
MOST_OVERTAKEN = 256
"""How many events may hang beside those that hold a slot. Each has a thread and a connection."""
MOST_AT_ONCE = BATCH + SPARE + MOST_OVERTAKEN


@dataclass(slots=True)
class _Post:
    delivery: Delivery
    number: int
    until: float
    overtaken: int = 0
    receiver_lives: bool = False
    """Whether the receiver has taken another event since this one began."""


class Slots:
    """
    The events on their way to one destination. `probing` is one event alone.

    Progress is counted, not time: whatever a receiver's pace is, one event that hangs costs the
    others nothing, and a receiver that hangs for all gets a batch and no more.
    """

    def __init__(self, *, probing: bool) -> None:
        self.probing = probing
        self.delivered = 0
        """How many events the receiver has taken."""
        self.failures = 0
        """How many have failed since, of those that began since then."""
        self._posts: dict[str, _Post] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        """Return how many events are on their way."""
        return len(self._posts)

    @property
    def free(self) -> int:
        """How many events may begin."""
        hanging = self._hanging
        most = 1 if self.probing else BATCH + (SPARE if hanging else 0)
        return max(0, most - self.failures - (len(self._posts) - hanging))

    @property
    def free_for_retries(self) -> int:
        """How many of them may be events that have failed before."""
        holding = [post for post in self._posts.values() if not _is_overtaken(post)]
        retries = sum(post.delivery.attempts > 1 for post in holding)
        return max(0, min(self.free, RETRIES - retries))

    @property
    def refused(self) -> bool:
        """Whether all that began since the receiver last took one have failed, a batch at least."""
        return self.failures >= (1 if self.probing else BATCH)

    def begin(self, delivery: Delivery, *, until: float) -> None:
        """Give a slot to an event. At `until` it is overdue."""
        self._posts[delivery.event_id] = _Post(delivery, next(self._numbers), until)

    def end(self, delivery: Delivery, *, taken: bool) -> bool:
        """Free the slot of an event. Return False if it had none."""
        post = self._posts.pop(delivery.event_id, None)
        if post is None:
            return False
        if taken:
            self._is_taken(post)
        elif not post.receiver_lives:
            self.failures += 1
        return True

    def next_until(self) -> float | None:
        """Return when the first event is overdue, or None without any."""
        return min((post.until for post in self._posts.values()), default=None)

    def overdue(self, now: float) -> list[Delivery]:
        """Return the events that nothing was heard of in time."""
        return [post.delivery for post in self._posts.values() if post.until <= now]

    def _is_taken(self, taken: _Post) -> None:
        self.probing = False
        self.delivered += 1
        self.failures = 0
        for post in self._posts.values():
            post.receiver_lives = True
            post.overtaken += post.number < taken.number

    @property
    def _hanging(self) -> int:
        return min(MOST_OVERTAKEN, sum(map(_is_overtaken, self._posts.values())))


def _is_overtaken(post: _Post) -> bool:
    return post.overtaken >= OVERTAKEN

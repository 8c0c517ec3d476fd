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
MOST_OVERTAKEN = 768
"""How many events may hang beside those that hold a slot. Each has a thread and a connection."""
MOST_RETRIES = 128
"""How many of all on their way may be events that have failed before: these hang again."""
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
    others nothing, and a receiver that hangs for all gets a batch and no more. What a result costs
    does not grow with the events that hang.
    """

    def __init__(self, *, probing: bool) -> None:
        self.probing = probing
        self.delivered = 0
        """How many events the receiver has taken."""
        self.failures = 0
        """How many have failed since, of those that began since then."""
        self._posts: dict[str, _Post] = {}
        """Those on their way; the first began first."""
        self._holding: dict[str, _Post] = {}
        """Those of them that were not overtaken."""
        self._retries = 0
        self._numbers = itertools.count()

    def __len__(self) -> int:
        """Return how many events are on their way."""
        return len(self._posts)

    @property
    def free(self) -> int:
        """How many events may begin."""
        hanging = min(MOST_OVERTAKEN, len(self._posts) - len(self._holding))
        most = 1 if self.probing else BATCH + (SPARE if hanging else 0)
        return max(0, most - self.failures - (len(self._posts) - hanging))

    @property
    def free_for_retries(self) -> int:
        """How many of them may be events that have failed before."""
        retries = sum(map(_is_retry, self._holding.values()))
        return max(0, min(self.free, RETRIES - retries, MOST_RETRIES - self._retries))

    @property
    def refused(self) -> bool:
        """Whether all that began since the receiver last took one have failed, a batch at least."""
        return self.failures >= (1 if self.probing else BATCH)

    def begin(self, delivery: Delivery, *, until: float) -> None:
        """Give a slot to an event. At `until`, never before another's, it is overdue."""
        post = _Post(delivery, next(self._numbers), until)
        self._retries += _is_retry(post)
        self._posts[delivery.event_id] = self._holding[delivery.event_id] = post

    def end(self, delivery: Delivery, *, taken: bool) -> bool:
        """Free the slot of an event. Return False if it had none."""
        post = self._posts.pop(delivery.event_id, None)
        if post is None:
            return False
        self._holding.pop(delivery.event_id, None)
        self._retries -= _is_retry(post)
        if taken:
            self._is_taken(post)
        elif not post.receiver_lives:
            self.failures += 1
        return True

    def next_until(self) -> float | None:
        """Return when the first event is overdue, or None without any."""
        return next((post.until for post in self._posts.values()), None)

    def overdue(self, now: float) -> list[Delivery]:
        """Return the events that nothing was heard of in time."""
        posts = itertools.takewhile(lambda post: post.until <= now, self._posts.values())
        return [post.delivery for post in posts]

    def _is_taken(self, taken: _Post) -> None:
        self.probing = False
        self.delivered += 1
        self.failures = 0
        # An event that was overtaken before has seen the receiver live.
        for event_id, post in list(self._holding.items()):
            post.receiver_lives = True
            post.overtaken += post.number < taken.number
            if post.overtaken >= OVERTAKEN:
                del self._holding[event_id]


def _is_retry(post: _Post) -> bool:
    return post.delivery.attempts > 1

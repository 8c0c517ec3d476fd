"""Which events may be on their way at once, counted in slots."""

from datetime import UTC, datetime

from worker.domain.destinations import Destination
from worker.outbox.slots import BATCH, MOST_OVERTAKEN, MOST_RETRIES, RETRIES, SPARE, Slots
from worker.store import Delivery

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(name: str, attempts: int = 1) -> Delivery:
    where = Destination.WEBHOOK
    return Delivery(name, where, name, "{}", attempts, "lease", since=NOON, at=NOON)


class Receiver:
    """A receiver that takes every new event, and is silent about some."""

    def __init__(self) -> None:
        self.slots = Slots(probing=False)
        self._count = 0

    def hang(self, most: int, attempts: int = 1) -> list[Delivery]:
        """Let that many begin that get no answer."""
        hanging = [event(f"H{attempts}x{self._next()}", attempts) for _ in range(most)]
        for each in hanging:
            self.slots.begin(each, until=10.0)
        return hanging

    def take(self, most: int) -> None:
        """Let that many begin and be taken, one after another."""
        for _ in range(most):
            each = event(f"W{self._next()}")
            self.slots.begin(each, until=10.0)
            assert self.slots.end(each, taken=True)

    def _next(self) -> int:
        self._count += 1
        return self._count


def test_events_that_failed_before_hang_in_a_part_of_the_places() -> None:
    receiver = Receiver()
    began: list[Delivery] = []
    while free := receiver.slots.free_for_retries:
        assert free <= RETRIES
        began += receiver.hang(free, attempts=2)
        receiver.take(BATCH)
    assert len(began) == MOST_RETRIES
    assert receiver.slots.free == BATCH + SPARE
    assert receiver.slots.end(began[0], taken=False)
    assert [receiver.slots.free_for_retries] == [1]


def test_new_events_hang_in_all_places_and_then_hold_slots() -> None:
    receiver = Receiver()
    hanging = 0
    while hanging < MOST_OVERTAKEN:
        hanging += len(receiver.hang(1))
        receiver.take(BATCH)
    assert receiver.slots.free == BATCH + SPARE
    receiver.hang(1)
    receiver.take(BATCH)
    assert receiver.slots.free == BATCH + SPARE - 1


def test_the_first_that_began_is_overdue_first() -> None:
    slots = Slots(probing=False)
    assert slots.next_until() is None
    for number in range(3):
        slots.begin(event(f"E{number}"), until=10.0 + number)
    assert slots.next_until() == 10.0
    assert [each.event_id for each in slots.overdue(11.0)] == ["E0", "E1"]
    slots.end(event("E0"), taken=True)
    assert [slots.next_until(), len(slots)] == [11.0, 2]

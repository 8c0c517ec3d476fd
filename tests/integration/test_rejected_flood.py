"""A flood of bad messages is bounded: the first and the newest are kept, the rest counted."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.integration.conftest import OpenStore
from tests.integration.stock import Clock
from tests.servers.waiting import joined
from worker.store import RejectedLimits, RejectedMessage, Store
from worker.store.jobs.rejected_messages import SHORT_BODY
from worker.store.schema.tables import rejected_counts

MOST = 10


@pytest.fixture
def small(store: Store) -> Store:
    return Store(store.database, rejected=RejectedLimits(messages=MOST, bytes=100_000))


def _rubbish(number: int, *, uid: str | None = None, size: int = 1) -> RejectedMessage:
    return RejectedMessage("not_json", "no JSON", f"{number:05}" * size, uid=uid)


def _bodies(store: Store, reason: str = "not_json") -> set[str]:
    rows = store.rejected_messages.latest(most=10_000)
    return {row.body for row in rows if row.reason == reason}


def test_of_a_flood_the_first_and_the_newest_are_kept_and_the_rest_counted(small: Store) -> None:
    for number in range(1, 101):
        small.rejected_messages.keep(_rubbish(number))
    numbers = sorted(map(int, _bodies(small)))
    assert numbers == [1, 2, 3, 4, 5, 96, 97, 98, 99, 100]
    assert small.rejected_messages.not_kept() == {"not_json": 90}
    assert small.rejected_messages.counts() == {"not_json": MOST}


def test_rubbish_takes_no_place_of_a_message_that_names_a_uid_nor_of_a_conflict(
    small: Store,
) -> None:
    keep = small.rejected_messages.keep
    for number in range(MOST):
        keep(RejectedMessage("not_json", "no JSON", f"named {number}", uid=f"U{number}"))
        keep(RejectedMessage("conflict", "other content", f"conflict {number}", uid=f"U{number}"))
    for number in range(100):
        keep(_rubbish(number))
    for number in range(2 * MOST, 4 * MOST):
        keep(RejectedMessage("conflict", "other content", f"conflict {number}", uid=f"U{number}"))
    named = {body for body in _bodies(small) if body.startswith("named")}
    assert named == {f"named {number}" for number in range(MOST)}
    assert len(_bodies(small, "conflict")) == 3 * MOST


def test_conflicts_about_one_job_are_bounded_and_take_no_place_of_anothers(small: Store) -> None:
    keep = small.rejected_messages.keep
    keep(RejectedMessage("conflict", "other content", "the other's", uid="OTHER"))
    for number in range(1, 101):
        keep(RejectedMessage("conflict", "other content", f"{number}", uid="U" * 64))
    assert _bodies(small, "conflict") == {
        "the other's", "1", "2", "3", "4", "5", "96", "97", "98", "99", "100"
    }  # fmt: skip
    assert small.rejected_messages.not_kept() == {"conflict": 90}


def test_each_reason_has_places_of_its_own(small: Store) -> None:
    for reason in ("not_json", "too_large", "wrong_shape"):
        for number in range(2 * MOST):
            small.rejected_messages.keep(RejectedMessage(reason, "no", f"{number}"))
    assert small.rejected_messages.counts() == dict.fromkeys(
        ("not_json", "too_large", "wrong_shape"), MOST
    )


def test_beyond_the_bytes_only_the_beginning_of_a_body_is_kept(store: Store) -> None:
    small = Store(store.database, rejected=RejectedLimits(messages=100, bytes=50_000))
    for number in range(100):
        small.rejected_messages.keep(_rubbish(number, size=3000))
    sizes = [len(body) for body in _bodies(small)]
    assert len(sizes) == 100
    assert sum(sizes) <= 50_000 + 100 * SHORT_BODY
    assert max(sizes) == 15_000


def test_pruned_messages_leave_their_bytes_and_places(store: Store, clock: Clock) -> None:
    small = Store(store.database, rejected=RejectedLimits(messages=MOST, bytes=50_000))
    for number in range(MOST):
        small.rejected_messages.keep(_rubbish(number, size=1000))
    clock.forward(timedelta(days=2))
    small.rejected_messages.keep(_rubbish(98))
    assert small.retention.messages(older_than=timedelta(days=1)) == MOST - 1
    small.rejected_messages.keep(_rubbish(99, size=1000))
    assert _bodies(small) == {"00098", "00099" * 1000}


def test_with_the_last_conflict_about_a_job_its_count_is_pruned(store: Store, clock: Clock) -> None:
    def kinds() -> list[str]:
        return [row.reason for row in store.database.read(select(rejected_counts))]

    for uid in ("U1", "U2"):
        store.rejected_messages.keep(RejectedMessage("conflict", "other content", uid, uid=uid))
    store.rejected_messages.keep(_rubbish(1))
    clock.forward(timedelta(days=2))
    store.rejected_messages.keep(RejectedMessage("conflict", "other content", "again", uid="U2"))
    assert store.retention.messages(older_than=timedelta(days=1)) == 3
    assert sorted(kinds()) == ["conflict", "not_json"]


def test_the_same_message_again_takes_no_second_place(small: Store, clock: Clock) -> None:
    for _ in range(5 * MOST):
        small.rejected_messages.keep(_rubbish(1))
        clock.forward(1)
    (kept,) = small.rejected_messages.latest(most=10)
    assert kept.deliveries == 5 * MOST
    assert small.rejected_messages.not_kept() == {}


def test_several_workers_share_the_bound(small: Store, open_store: OpenStore, clock: Clock) -> None:
    def flood(worker: int) -> None:
        other = Store(open_store(clock).database, rejected=RejectedLimits(messages=MOST))
        for number in range(25):
            other.rejected_messages.keep(_rubbish(1000 * worker + number))

    threads = [threading.Thread(target=flood, args=[worker], daemon=True) for worker in range(4)]
    for thread in threads:
        thread.start()
    joined(*threads)
    assert small.rejected_messages.counts() == {"not_json": MOST}
    assert small.rejected_messages.not_kept() == {"not_json": 100 - MOST}

"""Exports: whoever goes on from the last cursor meets every end once, and none too early."""

from datetime import timedelta
from typing import Any

import pytest

from tests.integration.relaying import end
from tests.integration.stock import NOON, SECOND, Clock, accept, claimed, settle
from tests.integration.test_relay import REFUSED, requeue
from worker.domain.events import FIELDS, event_id
from worker.store import Store
from worker.store.reports.exports import HORIZON, Cursor


def exported(store: Store, since: Cursor | None = None, *, page: int = 2) -> list[dict[str, Any]]:
    return [row for rows in store.exports.since(since or Cursor(), page=page) for row in rows]


def uids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["partnerTxnUid"] for row in rows]


def test_ends_come_in_their_order_whatever_their_state(store: Store, clock: Clock) -> None:
    for number in (3, 1, 2, 5, 4):
        uid = f"U{number}"
        accept(store, uid)
        if number % 2:
            end(store, uid)
        else:
            settle(store, claimed(store, uid), REFUSED)
        clock.forward(SECOND)
    accept(store, "WAITS")
    clock.forward(HORIZON)
    rows = exported(store)
    assert uids(rows) == ["U3", "U1", "U2", "U5", "U4"]
    assert {row["state"] for row in rows} == {"succeeded", "refused"}
    assert set(rows[0]) == {"cursor", "id", *FIELDS}
    assert rows[0]["id"] == event_id("U3", 1)


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_jobs_that_ended_at_one_moment_are_all_there_from_any_cursor(
    store: Store, clock: Clock, page: int
) -> None:
    names = [f"U{number}" for number in range(7)]
    end(store, *names)
    clock.forward(HORIZON)
    rows = exported(store, page=page)
    assert uids(rows) == names
    for place, row in enumerate(rows):
        again = exported(store, Cursor.read(row["cursor"]), page=page)
        assert uids(again) == names[place + 1 :]


def test_what_ended_just_now_is_left_to_a_later_export(store: Store, clock: Clock) -> None:
    """A transaction that began before it may still be about to end another job."""
    end(store, "U1")
    clock.forward(HORIZON - SECOND)
    assert exported(store) == []
    clock.forward(SECOND)
    assert uids(exported(store)) == ["U1"]


def test_an_end_that_is_committed_late_is_not_passed_over(store: Store, clock: Clock) -> None:
    accept(store, "LATE")
    mine = claimed(store, "LATE")
    end(store, "U1")
    clock.forward(HORIZON - SECOND)
    seen = exported(store)
    # Its end was written in a transaction that lasted until now.
    clock.now = NOON
    assert settle(store, mine, REFUSED)
    clock.forward(HORIZON)
    assert seen == []
    assert uids(exported(store)) == ["LATE", "U1"]


def test_a_job_that_ends_again_comes_again_with_another_id(store: Store, clock: Clock) -> None:
    accept(store, "U1")
    settle(store, claimed(store), REFUSED)
    clock.forward(HORIZON)
    (first,) = exported(store)
    requeue(store, "U1")
    assert exported(store) == []
    clock.forward(timedelta(hours=1))
    settle(store, claimed(store), REFUSED)
    clock.forward(HORIZON)
    (second,) = exported(store, Cursor.read(first["cursor"]))
    assert (first["end"], second["end"]) == (1, 2)
    assert first["id"] != second["id"]


@pytest.mark.parametrize("text", ["", "x", "2026-03-01T12:00:00", "U1", "2026-13-01T00:00:00Z/U"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Cursor.read(text)


def test_a_cursor_may_hold_any_uid() -> None:
    cursor = Cursor(NOON, "A/B:C")
    assert Cursor.read(str(cursor)) == cursor

"""What operators do, and the record of it."""

import pytest

from tests.integration.stock import (
    DOWN,
    NOON,
    Clock,
    accept,
    claimed,
    execute,
    only,
    partner,
    settle,
)
from worker.store import Store
from worker.store.schema.tables import operator_actions


def records(store: Store) -> list[dict[str, object]]:
    with store.database.reading() as connection:
        rows = connection.execute(operator_actions.select().order_by(operator_actions.c.id))
        return [row._asdict() for row in rows]


def test_a_pause_is_recorded_with_who_and_why_before_and_after(store: Store) -> None:
    assert store.actions.pause_partner("P1", who="ploy", reason="maintenance")
    (record,) = records(store)
    del record["id"]
    assert record == {
        "at": NOON,
        "who": "ploy",
        "action": "pause_partner",
        "target": "P1",
        "reason": "maintenance",
        "before": {"mode": "active", "reason": None},
        "after": {"mode": "paused", "reason": "maintenance"},
    }
    assert only(partner(store), "mode", "reason") == ("paused", "maintenance")


def test_a_resumption_is_recorded(store: Store, clock: Clock) -> None:
    store.actions.pause_partner("P1", who="ploy", reason="maintenance")
    clock.forward(60)
    assert store.actions.resume_partner("P1", who="somchai", reason="done")
    last = records(store)[-1]
    assert only(last, "who", "action", "reason", "at") == (
        "somchai",
        "resume_partner",
        "done",
        clock.now,
    )
    assert only(last, "before", "after") == (
        {"mode": "paused", "reason": "maintenance"},
        {"mode": "active", "reason": None},
    )
    assert only(partner(store), "mode", "reason", "updated_at") == ("active", None, clock.now)


def test_an_act_that_changes_nothing_is_not_recorded(store: Store) -> None:
    assert not store.actions.resume_partner("P1", who="ploy", reason="why not")
    store.actions.pause_partner("P1", who="ploy", reason="maintenance")
    assert not store.actions.pause_partner("P1", who="somchai", reason="me too")
    assert partner(store)["reason"] == "maintenance"
    assert len(records(store)) == 1


def test_an_operator_can_wake_a_cooling_partner(store: Store) -> None:
    uids = [f"U{n}" for n in range(5)]
    accept(store, *uids)
    for mine in [claimed(store, uid) for uid in uids]:
        settle(store, mine, DOWN)
    assert partner(store)["mode"] == "cooling"
    assert store.actions.resume_partner("P1", who="ploy", reason="the bank says it is up")
    assert only(partner(store), "mode", "failures", "resume_at") == ("active", 0, None)
    assert records(store)[-1]["before"] == {"mode": "cooling", "reason": "nothing was sent"}


def test_an_act_and_its_record_stand_or_fall_together(store: Store) -> None:
    execute(store, "ALTER TABLE operator_actions RENAME TO gone")
    try:
        with pytest.raises(Exception, match="db upgrade"):
            store.actions.pause_partner("P1", who="ploy", reason="maintenance")
        assert store.partners.all() == []
    finally:
        execute(store, "ALTER TABLE gone RENAME TO operator_actions")

"""Messages that could not become a job: kept once, counted, and storable whatever they hold."""

import pytest

from tests.integration.stock import NOON, Clock, execute, only
from worker.domain.bounds import LARGEST_COUNT
from worker.store import RejectedMessage, Store

BROKEN = RejectedMessage(
    "not_json", "the body is not JSON", "{oops", task="kplus.cancel_token", uid="U1"
)


def test_a_message_is_kept_with_its_reason(store: Store) -> None:
    store.rejected_messages.keep(BROKEN)
    (kept,) = store.rejected_messages.latest(most=10)
    assert only(kept._asdict(), "reason", "detail", "body", "task", "partner_txn_uid") == (
        "not_json",
        "the body is not JSON",
        "{oops",
        "kplus.cancel_token",
        "U1",
    )
    assert (kept.deliveries, kept.first_at, kept.last_at) == (1, NOON, NOON)


def test_the_same_message_again_is_counted_not_kept_twice(store: Store, clock: Clock) -> None:
    for _ in range(3):
        store.rejected_messages.keep(BROKEN)
        clock.forward(1)
    (kept,) = store.rejected_messages.latest(most=10)
    assert kept.deliveries == 3
    assert (kept.first_at, (kept.last_at - NOON).total_seconds()) == (NOON, 2)


def test_the_same_body_for_another_reason_is_another_message(store: Store) -> None:
    store.rejected_messages.keep(BROKEN)
    store.rejected_messages.keep(RejectedMessage("conflict", "other content", BROKEN.body))
    assert store.rejected_messages.counts() == {"not_json": 1, "conflict": 1}


def test_the_latest_messages_come_first(store: Store, clock: Clock) -> None:
    for body in "abc":
        store.rejected_messages.keep(RejectedMessage("odd", "odd", body))
        clock.forward(1)
    assert [kept.body for kept in store.rejected_messages.latest(most=2)] == ["c", "b"]


def test_a_message_of_any_content_can_be_kept(store: Store) -> None:
    odd = RejectedMessage("r" * 99, "a\0b \ud83d", "x" * 99_999, task="t" * 999, uid="u" * 99)
    store.rejected_messages.keep(odd)
    (kept,) = store.rejected_messages.latest(most=1)
    assert (kept.detail, len(kept.body)) == ("a\ufffdb ?", 16 * 1024)
    assert (len(kept.reason), len(kept.task)) == (32, 200)


@pytest.mark.parametrize("uid", ["u" * 65, "u\ud800", "u\0"])
def test_a_uid_that_its_column_cannot_hold_is_left_out_and_names_no_other_job(
    store: Store, uid: str
) -> None:
    store.rejected_messages.keep(RejectedMessage("odd", "odd", "odd", uid=uid))
    store.rejected_messages.keep(RejectedMessage("odd", "odd", "even", uid="u" * 64))
    kept = {each.body: each.partner_txn_uid for each in store.rejected_messages.latest(most=2)}
    assert kept == {"odd": None, "even": "u" * 64}


def test_a_message_that_came_a_thousand_million_times_is_kept_on(store: Store) -> None:
    store.rejected_messages.keep(BROKEN)
    execute(store, "UPDATE rejected_messages SET deliveries = :most", most=LARGEST_COUNT)
    store.rejected_messages.keep(BROKEN)
    (kept,) = store.rejected_messages.latest(most=1)
    assert kept.deliveries == LARGEST_COUNT


def test_a_message_joins_the_callers_transaction(store: Store) -> None:
    with store.database.engine.connect() as connection:
        store.rejected_messages.keep(BROKEN, connection=connection)
        connection.rollback()
    assert store.rejected_messages.counts() == {}
    with store.database.engine.begin() as connection:
        store.rejected_messages.keep(BROKEN, connection=connection)
    assert store.rejected_messages.counts() == {"not_json": 1}

"""Orders by the thousand: a receipt for each, in order, and safe to bring again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import Engine, text

from tests.servers.workers import PARTNER_ID
from worker.broker.app import CANCEL_QUEUE
from worker.config.settings import GivenSettings
from worker.enqueue import Producer, Receipt
from worker.runtime import RUNS_PER_SLOT
from worker.store import Status, Store

SLOTS = 1
CONVEYOR = SLOTS * RUNS_PER_SLOT


@pytest.fixture
def producer(engine: Engine, broker_url: str, tmp_path: Path) -> Iterator[Producer]:
    made = Producer(
        GivenSettings(
            home=tmp_path / "home",
            database_url=SecretStr(engine.url.render_as_string(hide_password=False)),
            broker_url=SecretStr(broker_url),
            partner_id=PARTNER_ID,
            concurrency=SLOTS,
        )
    )
    yield made
    made.close()


def order(uid: str, token: str = "T", **more: Any) -> dict[str, Any]:
    return {"partner_txn_uid": uid, "token_id": token, "reference1": "R", **more}


def orders(count: int) -> list[dict[str, Any]]:
    return [order(f"U{number:04}") for number in range(count)]


def told(receipts: Iterator[Receipt]) -> list[tuple[str, str]]:
    return [(receipt.partner_txn_uid, str(receipt.status)) for receipt in receipts]


def stored(store: Store) -> int:
    return sum(store.reports.stats().states.values())


@pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
def test_each_input_has_its_receipt_in_input_order(
    producer: Producer, store: Store, chunk: int
) -> None:
    """Whatever stands in one chunk together, and whatever an input is."""
    inputs: list[Any] = [
        order("A"),
        {"partner_txn_uid": "BAD", "token_id": "", "reference1": "R"},
        order("A"),
        order("A", token="OTHER"),
        "no order at all",
        order("B", expires_at="tomorrow"),
        {"partnerTxnUid": "C", "tokenId": "T", "reference1": "R", "unknown": 1},
        order("A"),
    ]
    receipts = list(producer.enqueue_many(inputs, chunk=chunk))
    assert told(iter(receipts)) == [
        ("A", "accepted"),
        ("BAD", "invalid"),
        ("A", "duplicate"),
        ("A", "conflict"),
        ("", "invalid"),
        ("B", "invalid"),
        ("C", "accepted"),
        ("A", "duplicate"),
    ]
    assert "token_id" in (receipts[1].reason or "")
    assert "expires_at" in (receipts[5].reason or "")
    assert [receipt.reason for receipt in receipts if receipt.state] == [None] * 5
    assert stored(store) == 2
    (kept,) = store.rejected_messages.latest(most=9)
    assert (kept.reason, kept.partner_txn_uid) == ("conflict", "A")


def test_it_reads_no_further_than_a_chunk_ahead(producer: Producer, store: Store) -> None:
    """The input may be longer than memory, or never end."""
    read = []

    def endless() -> Iterator[dict[str, Any]]:
        for number in range(10**9):
            read.append(number)
            yield order(f"U{number:04}")

    receipts = producer.enqueue_many(endless(), chunk=10)
    assert next(receipts).status is Status.ACCEPTED
    assert (len(read), stored(store)) == (10, 10)
    assert [next(receipts).status for _ in range(9)] == [Status.ACCEPTED] * 9
    assert len(read) == 10
    next(receipts)
    assert (len(read), stored(store)) == (20, 20)


def test_an_interrupted_one_is_brought_again_without_doubling(
    producer: Producer, store: Store
) -> None:
    receipts = producer.enqueue_many(orders(50), chunk=20)
    for _ in range(25):
        next(receipts)
    receipts.close()  # type: ignore[attr-defined]
    assert stored(store) == 40
    again = [receipt.status for receipt in producer.enqueue_many(orders(50), chunk=20)]
    assert again == [Status.DUPLICATE] * 40 + [Status.ACCEPTED] * 10
    assert stored(store) == 50


def test_hints_are_sent_for_as_many_as_the_conveyor_takes(
    producer: Producer, store: Store, engine: Engine, broker_url: str
) -> None:
    """The sweep sees to the rest: they are not stamped, as if somebody had hinted at them."""
    assert {receipt.status for receipt in producer.enqueue_many(orders(50), chunk=5)} == {
        Status.ACCEPTED
    }
    with redis.Redis.from_url(broker_url) as client:
        assert client.llen(CANCEL_QUEUE) == CONVEYOR
    with engine.connect() as connection:
        unhinted = text("SELECT count(*) FROM cancel_jobs WHERE hinted_at IS NULL")
        assert connection.execute(unhinted).scalar() == 50 - CONVEYOR


def test_with_a_session_all_rows_join_the_callers_transaction(
    producer: Producer, store: Store, engine: Engine, broker_url: str
) -> None:
    inputs = [*orders(5), order("U0000", token="OTHER")]
    with engine.connect() as connection:
        assert len(list(producer.enqueue_many(inputs, session=connection, chunk=2))) == 6
        connection.rollback()
    assert stored(store) == 0
    assert store.rejected_messages.latest(most=1) == []
    with engine.begin() as connection:
        list(producer.enqueue_many(inputs, session=connection, chunk=2))
    assert stored(store) == 5
    assert len(store.rejected_messages.latest(most=9)) == 1
    with redis.Redis.from_url(broker_url) as client:
        assert client.llen(CANCEL_QUEUE) == 0


def test_a_duplicate_of_an_ended_job_tells_its_outcome(
    producer: Producer, store: Store, engine: Engine
) -> None:
    list(producer.enqueue_many(orders(2)))
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE cancel_jobs SET state = 'succeeded', outcome = 'cancelled',"
                " finished_at = created_at, next_attempt_at = NULL"
            )
        )
    again = list(producer.enqueue_many(orders(3)))
    assert [(str(each.status), each.outcome) for each in again] == [
        ("duplicate", "cancelled"),
        ("duplicate", "cancelled"),
        ("accepted", None),
    ]

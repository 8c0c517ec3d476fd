"""A worker whose tables have a schema of their own, on a database whose `search_path` misleads."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tests.e2e.producers import QUICK, order, send
from tests.servers.hostile_schema import SCHEMA, rows_of_theirs
from tests.servers.receivers import SECRET, Receiver
from tests.servers.roles import Roles
from tests.servers.workers import PARTNER_ID, StartWorker
from worker.config.settings import GivenSettings
from worker.enqueue import Producer
from worker.sandbox import Sandbox
from worker.store import Store, open_database
from worker.store.schema import migrate

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True),
]


@pytest.fixture
def store(hostile_database: str, roles: Roles, tmp_path: Path) -> Iterator[Store]:
    """A store over our tables, which were made and granted as the pages say."""
    database = open_database(hostile_database, schema=SCHEMA)
    migrate.upgrade(database, home=tmp_path)
    roles.install(hostile_database, SCHEMA)
    yield Store(database)
    database.close()


@pytest.fixture
def producer(hostile_database: str, store: Store, roles: Roles) -> Iterator[Producer]:
    """The order system, which logs in as the producer."""
    del store
    producer = Producer(
        GivenSettings(
            database_url=SecretStr(roles.url(hostile_database, "producer")),
            database_schema=SCHEMA,
            broker_url=SecretStr("redis://127.0.0.1:1/0"),
            partner_id=PARTNER_ID,
        )
    )
    yield producer
    producer.close()


def fields(uid: str, token: str) -> dict[str, str]:
    return {"partner_txn_uid": uid, "token_id": token, "reference1": "R"}


def test_jobs_come_to_their_end_in_our_tables(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    hostile_database: str,
    roles: Roles,
    sandbox: Sandbox,
    receiver: Receiver,
    store: Store,
    producer: Producer,
) -> None:
    """By messages, by the producer alone, and in a session whose path leads to their tables."""
    engine = create_engine(roles.url(hostile_database, "producer"))
    with Session(engine) as session, session.begin():
        joined = producer.enqueue(fields("SESSION", "ok-1"), session=session)
        again = producer.enqueue(fields("SESSION", "other"), session=session)
        many = list(producer.enqueue_many([fields("MANY", "paid-2")], session=session))
    engine.dispose()
    assert [each.status for each in (joined, again, *many)] == ["accepted", "conflict", "accepted"]
    assert producer.enqueue(fields("ALONE", "ok-3")).status == "accepted"
    send(
        broker_url, [order("MESSAGE", "ok-4"), order("MESSAGE", "ok-4"), order("LATER", "busy1-5")]
    )
    worker = worker_process(
        worker_env
        | QUICK
        | {
            "KPLUS_DATABASE_URL": roles.url(hostile_database, "worker"),
            "KPLUS_DATABASE_SCHEMA": SCHEMA,
            "KPLUS_WEBHOOK_URL": receiver.url,
            "KPLUS_WEBHOOK_SECRET": SECRET,
        }
    )
    worker.wait_until(lambda: len(receiver.taken()) == 5)
    worker.wait_until(lambda: not store.outbox.events(most=9))
    outcomes = {job["partner_txn_uid"]: job["outcome"] for job in store.reports.jobs()}
    assert outcomes == {
        "SESSION": "cancelled",
        "MANY": "paid",
        "ALONE": "cancelled",
        "MESSAGE": "cancelled",
        "LATER": "cancelled",
    }
    assert set(sandbox.journal.effects().values()) == {1}
    assert store.rejected_messages.counts() == {"conflict": 1}
    assert rows_of_theirs(hostile_database) == 0
    assert worker.stop() == 0
    assert '"level": "error"' not in worker.told()

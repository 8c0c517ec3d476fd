"""Migration 0010 meets rows that no worker can handle: each is set right, told of and recorded."""

import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from tests.integration.stock import only
from tests.servers.databases import StoreAt
from tests.servers.schema import downgrade, migrate
from worker.domain.bounds import LARGEST_COUNT
from worker.domain.states import Outcome
from worker.store import Store, open_database

REVISION = "0010"
COLUMNS = "partner_txn_uid, partner_id, token_id, reference1"


@pytest.fixture
def before(database: str) -> Iterator[Store]:
    """A store over the schema of the version before, which takes any row."""
    downgrade(database, "kplus_0008")
    store = Store(open_database(database))
    yield store
    store.close()


def insert(store: Store, uid: str, **fields: object) -> None:
    names = "".join(f", {name}" for name in fields)
    values = "".join(f", :{name}" for name in fields)
    sql = f"INSERT INTO cancel_jobs ({COLUMNS}{names}) VALUES (:uid, 'P1', 'T1', 'R1'{values})"  # noqa: S608
    with store.database.engine.begin() as connection:
        connection.execute(text(sql), {"uid": uid, **fields})


@pytest.mark.parametrize("never", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"])
def test_a_time_that_does_not_exist_becomes_none_or_now(
    before: Store, database: str, store_at: StoreAt, never: str
) -> None:
    insert(before, "EXPIRY", expires_at=never)
    insert(before, "DUE", next_attempt_at=never, created_at=never)
    migrate(database)
    store = store_at()
    jobs = {job["partner_txn_uid"]: job for job in store.reports.jobs()}
    assert jobs["EXPIRY"]["expires_at"] is None
    now = jobs["EXPIRY"]["created_at"]
    assert abs((jobs["DUE"]["next_attempt_at"] - now).total_seconds()) < 1000
    assert jobs["DUE"]["created_at"] == jobs["DUE"]["next_attempt_at"]
    (record,) = store.reports.actions("EXPIRY")
    assert only(record, "action", "after") == ("set_right", {"expires_at": None})
    assert record["before"]["expires_at"].startswith(never[:5])


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_time_of_sqlite_with_an_offset_is_kept_in_utc(
    before: Store, database: str, store_at: StoreAt
) -> None:
    insert(before, "U1", expires_at="2026-03-01T12:00:00+07:00")
    migrate(database)
    (job,) = store_at().reports.jobs()
    assert job["expires_at"].isoformat() == "2026-03-01T05:00:00+00:00"


def test_a_job_that_cannot_be_sent_ends_and_is_told_of(
    before: Store, database: str, store_at: StoreAt, caplog: pytest.LogCaptureFixture
) -> None:
    insert(before, "ORDER 1")
    insert(before, "ORDER 2", state="in_doubt", doubted=True, attempts=1, conversations=1)
    lease = {"lease_id": "L", "lease_kind": "cancel", "lease_ends_at": "2026-03-01 12:00:00"}
    insert(before, "ORDER 3", state="in_flight", next_attempt_at=None, **lease)
    at = "2026-03-01 12:00:00"
    final = {"state": "refused", "outcome": "refused", "finished_at": at, "next_attempt_at": None}
    insert(before, "ORDER 4", **final)
    insert(before, "FINE")
    with caplog.at_level(logging.WARNING):
        migrate(database)
    store = store_at()
    ends = {job["partner_txn_uid"]: only(job, "outcome", "ends") for job in store.reports.jobs()}
    assert ends == {
        "ORDER 1": (Outcome.GAVE_UP, 1),
        "ORDER 2": (Outcome.UNKNOWN, 1),
        "ORDER 3": (Outcome.UNKNOWN, 1),
        "ORDER 4": (Outcome.REFUSED, 0),
        "FINE": (None, 0),
    }
    assert "set right: cancel_jobs 'ORDER 1': state 'pending' to 'exhausted'" in caplog.text
    assert len(store.reports.actions()) == 3


def test_counts_come_back_between_their_bounds(
    before: Store, database: str, store_at: StoreAt
) -> None:
    insert(before, "U1", attempts=2**31 - 1, conversations=2**31 - 1, ends=2**31 - 1)
    migrate(database)
    (job,) = store_at().reports.jobs()
    most = LARGEST_COUNT
    assert only(job, "attempts", "conversations", "ends") == (most, most, most)


def test_what_is_fine_is_neither_changed_nor_recorded(
    before: Store, database: str, store_at: StoreAt
) -> None:
    insert(before, "U1", expires_at="9999-12-31 23:59:59")
    insert(before, "U2")
    was = before.reports.actions()
    migrate(database)
    store = store_at()
    assert store.reports.actions() == was == []
    assert {job["state"] for job in store.reports.jobs()} == {"pending"}

"""An upgrade waits for nobody for long, since everybody who comes after it waits as well."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.attempting import SHORT
from tests.servers.databases import PATIENT, StoreAt
from tests.servers.schema import downgrade, migrate
from worker.errors import StoreUnavailable
from worker.store import Database, open_database
from worker.store.schema import migrate as schema

AGAIN = r"the schema is in use: .*run `kplus-cancel db upgrade` again"


@pytest.fixture
def hasty(database: str) -> Iterator[Database]:
    """A database that waits for SQLite's lock for a moment; on PostgreSQL migrations set theirs."""
    database_ = open_database(database, timeouts=replace(PATIENT, lock=SHORT))
    yield database_
    database_.close()


@contextmanager
def a_long_transaction(url: str) -> Iterator[None]:
    """Read, as a report or a backup does, and stay; on SQLite only a writer is in the way."""
    other = open_database(url)
    with other.engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM cancel_attempts")
        if not other.is_sqlite:
            # A worker's own would be ended by now; a backup's is not.
            connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
        yield
        connection.rollback()
    other.close()


def test_an_upgrade_gives_way_to_a_long_transaction(
    database: str, hasty: Database, store_at: StoreAt, tmp_path: Path
) -> None:
    """It changes nothing, says what to do, and nobody else is held up after it."""
    downgrade(database, "kplus_0002")
    store = store_at()
    with a_long_transaction(database):
        with pytest.raises(StoreUnavailable, match=AGAIN):
            schema.upgrade(hasty, home=tmp_path)
        assert store.reports.stats().states["pending"] == 0
        assert schema.examine(hasty).current == "kplus_0002"
    assert len(schema.upgrade(hasty, home=tmp_path)) == len(schema.revisions()) - 2
    assert schema.examine(hasty).up_to_date


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_steps_that_were_done_before_the_lock_was_met_stay_done(
    database: str, hasty: Database, tmp_path: Path
) -> None:
    """On SQLite a writer keeps out every step."""
    downgrade(database, "kplus_0001")
    with a_long_transaction(database), pytest.raises(StoreUnavailable, match=AGAIN):
        schema.upgrade(hasty, home=tmp_path)
    assert schema.examine(hasty).current == "kplus_0002"
    migrate(database)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_an_upgrade_that_hangs_lets_the_next_one_say_so(
    database: str, hasty: Database, tmp_path: Path
) -> None:
    other = open_database(database)
    with other.engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({schema.ADVISORY_LOCK})")
        connection.commit()
        holder = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        connection.commit()
        with pytest.raises(StoreUnavailable, match=AGAIN) as told:
            schema.upgrade(hasty, home=tmp_path, lock_timeout="100ms")
        assert f"process {holder} of the role {hasty.engine.url.username}" in str(told.value)
    other.close()
    assert schema.upgrade(hasty, home=tmp_path) == []

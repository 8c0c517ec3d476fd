"""What a role or a database has as its defaults does not change what our statements mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Engine, create_engine, make_url, select, text
from sqlalchemy.exc import DBAPIError

from tests.integration.attempting import only_postgresql
from tests.integration.stock import CANCELLED, LEASE, UNHEARD, order, roster
from tests.servers.databases import StoreAt
from worker.errors import StoreUnavailable
from worker.store import Status, Store
from worker.store.schema.tables import JOBS

pytestmark = only_postgresql

HOSTILE = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "lock_timeout": "1ms",
    "statement_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "timezone": "Asia/Kathmandu",
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
    "idle_session_timeout": "1s",
    "jit": "on",
    "synchronous_commit": "off",
}
OURS = {
    "transaction_isolation": "read committed",
    "transaction_deferrable": "off",
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "client_encoding": "UTF8",
    "intervalstyle": "postgres",
    "standard_conforming_strings": "on",
    "extra_float_digits": "1",
    "idle_session_timeout": "0",
    "jit": "off",
    "synchronous_commit": "on",
}


@contextmanager
def plain(url: str) -> Iterator[Engine]:
    """A connection that is not ours: that of an administrator, or of a producer."""
    engine = create_engine(make_url(url))
    yield engine
    engine.dispose()


def set_defaults(url: str, **defaults: str) -> None:
    name = make_url(url).database
    with plain(url) as engine, engine.begin() as connection:
        for setting, value in defaults.items():
            connection.exec_driver_sql(f"ALTER DATABASE \"{name}\" SET {setting} = '{value}'")


def shown(store: Store) -> dict[str, str]:
    with store.database.writing() as connection:
        return {name: str(connection.exec_driver_sql(f"SHOW {name}").scalar()) for name in OURS}


def test_our_sessions_keep_their_own_settings(database: str, store_at: StoreAt) -> None:
    set_defaults(database, **HOSTILE)
    store = store_at()
    assert shown(store) == OURS
    given = order("U1", reference1="ไทย", expires_at=None)
    assert store.jobs.accept(given, hinted=False).status is Status.ACCEPTED
    assert store.jobs.accept(given, hinted=False).status is Status.DUPLICATE
    claim = store.jobs.claim("U1", lease=LEASE, roster=roster())
    assert claim is not None
    assert claim.request.reference1 == "ไทย"
    assert claim.lease_ends_at - claim.started_at == LEASE


def test_a_limit_of_newer_servers_is_lifted(database: str, store_at: StoreAt) -> None:
    with plain(database) as engine, engine.connect() as connection:
        if connection.connection.driver_connection.info.server_version < 170000:  # type: ignore[union-attr]
            pytest.skip("this server has no transaction_timeout")
    set_defaults(database, transaction_timeout="10s")
    with store_at().database.reading() as connection:
        assert connection.exec_driver_sql("SHOW transaction_timeout").scalar() == "0"


def test_a_partners_pace_is_read_as_it_was_stored(database: str, store_at: StoreAt) -> None:
    """With the digits of some defaults it would be none at all."""
    set_defaults(database, extra_float_digits="-15")
    store = store_at()
    store.actions.pause_partner("P1", who="test", reason="pace")
    with store.database.writing() as connection:
        connection.execute(text("UPDATE partners SET pace = 0.3333333333333333"))
    assert [row.pace for row in store.partners.all()] == [0.3333333333333333]


def test_a_stronger_promise_of_durability_stays(database: str, store_at: StoreAt) -> None:
    set_defaults(database, synchronous_commit="remote_apply")
    store = store_at()
    assert shown(store)["synchronous_commit"] == "remote_apply"


def test_two_that_settle_side_by_side_do_not_fail_one_another(
    database: str, store_at: StoreAt
) -> None:
    """Under `serializable` the second of them would."""
    set_defaults(database, default_transaction_isolation="serializable")
    store = store_at(connections=2)
    for uid in ("U1", "U2"):
        store.jobs.accept(order(uid), hinted=False)
    one, two = (store.database.engine.connect() for _ in range(2))
    with one, two:
        for connection in (one, two):
            connection.execute(text("SELECT sum(attempts) FROM cancel_jobs"))
        for connection, uid in ((one, "U1"), (two, "U2")):
            update = text(
                "UPDATE cancel_jobs SET attempts = 1, conversations = 1"
                " WHERE partner_txn_uid = :uid"
            )
            connection.execute(update, {"uid": uid})
        one.commit()
        two.commit()
    rows = store.database.read(select(JOBS.attempts, JOBS.conversations))
    assert [tuple(row) for row in rows] == [(1, 1), (1, 1)]


def test_a_database_that_is_to_be_read_only_says_so(database: str, store_at: StoreAt) -> None:
    """Somebody meant it: it is not ours to undo."""
    set_defaults(database, default_transaction_read_only="on")
    store = store_at()
    with pytest.raises(StoreUnavailable, match="read-only"):
        store.jobs.accept(order("U1"), hinted=False)


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED"])
def test_a_producer_may_have_an_isolation_level_of_its_own(
    database: str, store_at: StoreAt, level: str
) -> None:
    store = store_at()
    store.jobs.accept(order("OLD"), hinted=False)
    pruned(store)
    with plain(database) as engine:
        isolated = engine.execution_options(isolation_level=level)
        with isolated.begin() as connection:
            accept = store.jobs.accept
            statuses = [
                accept(each, hinted=False, connection=connection).status
                for each in (
                    order("U1"),
                    order("U1"),
                    order("U1", token_id="OTHER"),
                    order("OLD"),
                    order("PRUNED"),
                    order("PRUNED", token_id="OTHER"),
                )
            ]
            many = store.bulk.accept([order("U1"), order("U2")], connection=connection)
    assert statuses == [
        Status.ACCEPTED,
        Status.DUPLICATE,
        Status.CONFLICT,
        Status.DUPLICATE,
        Status.DUPLICATE,
        Status.CONFLICT,
    ]
    assert {uid: each.status for uid, each in many.items()} == {
        "U1": Status.DUPLICATE,
        "U2": Status.ACCEPTED,
    }


def pruned(store: Store) -> None:
    store.jobs.accept(order("PRUNED"), hinted=False)
    claim = store.jobs.claim("PRUNED", lease=LEASE, roster=roster())
    assert claim is not None
    store.jobs.settle(claim, CANCELLED, UNHEARD)
    with store.database.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE cancel_jobs SET updated_at = now() - interval '9 days'"
            " WHERE partner_txn_uid = 'PRUNED'"
        )
    assert CANCELLED.outcome is not None
    assert store.retention.jobs(CANCELLED.outcome, older_than=timedelta(days=2)).jobs == 1


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ"])
def test_a_producer_whose_snapshot_is_too_old_is_told_to_try_again(
    database: str, store_at: StoreAt, level: str
) -> None:
    """As PostgreSQL tells it of any statement; nothing is stored, and nothing is claimed to be."""
    store = store_at()
    with plain(database) as engine:
        isolated = engine.execution_options(isolation_level=level)
        with isolated.connect() as connection:
            connection.execute(text("SELECT count(*) FROM cancel_jobs"))
            store.jobs.accept(order("U1"), hinted=False)
            with pytest.raises(DBAPIError) as caught:
                store.jobs.accept(order("U1"), hinted=False, connection=connection)
    assert getattr(caught.value.orig, "sqlstate", None) == "40001"

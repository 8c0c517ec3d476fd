"""A database in which others are at home too: their Alembic beside ours, and names of theirs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from tests.cli.conftest import Run
from tests.integration.neighbours_alembic import OrderSystem, names
from tests.servers.schema import downgrade, migrate
from worker.store.schema.migrate import revisions
from worker.store.schema.tables import metadata

NOWHERE = {"KPLUS_BANK_URL": "http://127.0.0.1:1/v1", "KPLUS_BROKER_URL": "redis://127.0.0.1:1/0"}
OLD = [f"{number:04}" for number in range(1, 17)]
"""The revisions of the version before."""
LAST_OLD = "kplus_0016"


@pytest.fixture
def order_system(empty_database: str, tmp_path: Path) -> OrderSystem:
    return OrderSystem(tmp_path / "theirs", empty_database)


def execute(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def as_the_version_before(url: str) -> str:
    """Return what a worker of the version before finds at its start."""
    engine = create_engine(url)
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        missing = set(metadata.tables) - set(inspect(connection).get_table_names())
    engine.dispose()
    if current is None or missing:
        return "it refuses to start"
    if current not in OLD:
        return "a newer release's"
    return "up to date" if current == OLD[-1] else "it refuses to start"


def test_theirs_is_there_first(run: Run, empty_database: str, order_system: OrderSystem) -> None:
    """A revision `0001` of theirs is not ours, and neither upgrade touches what is the other's."""
    order_system.upgrade("0001")
    done = run("db", "upgrade", "--json", KPLUS_DATABASE_URL=empty_database)
    assert (done.code, len(done.json["applied"])) == (0, len(revisions()))
    assert order_system.revision() == ["0001"]
    order_system.upgrade()
    assert order_system.tables() == {"orders", "order_lines"}
    assert run("db", "check", KPLUS_DATABASE_URL=empty_database).code == 0
    order_system.downgrade()
    assert run("db", "check", KPLUS_DATABASE_URL=empty_database).code == 0


def test_ours_is_there_first(run: Run, empty_database: str, order_system: OrderSystem) -> None:
    assert run("db", "upgrade", KPLUS_DATABASE_URL=empty_database).code == 0
    order_system.upgrade()
    assert order_system.revision() == ["0002"]
    downgrade(empty_database, "kplus_0012")
    assert order_system.revision() == ["0002"]
    assert run("db", "upgrade", "--json", KPLUS_DATABASE_URL=empty_database).json["applied"][0] == (
        "0013 remember what was seen"
    )
    migrate(empty_database, "base")
    assert order_system.tables() == {"orders", "order_lines"}
    order_system.downgrade()
    assert order_system.tables() == set()


def test_their_autogenerate_leaves_ours_alone(
    run: Run, empty_database: str, order_system: OrderSystem
) -> None:
    order_system.upgrade()
    assert order_system.would_change() == []
    run("db", "upgrade", KPLUS_DATABASE_URL=empty_database)
    assert order_system.would_change() == []
    assert order_system.would_change(include_schemas=True) == []


def test_a_database_of_the_version_before_is_taken_over(run: Run, database: str) -> None:
    """Its workers go on: what they look at says that the tables are of a newer release."""
    downgrade(database, LAST_OLD)
    assert as_the_version_before(database) == "up to date"
    assert run("db", "check", "--json", KPLUS_DATABASE_URL=database).json["pending"] == [
        "0017 keep the revision in a table of our own"
    ]
    done = run("db", "upgrade", "--json", KPLUS_DATABASE_URL=database)
    assert done.json["current"] == revisions()[-1]
    assert as_the_version_before(database) == "a newer release's"
    downgrade(database, LAST_OLD)
    assert as_the_version_before(database) == "up to date"


@pytest.mark.parametrize("revision", OLD[:-1])
def test_any_older_one_is_taken_over_where_it_stands(
    run: Run, database: str, revision: str
) -> None:
    downgrade(database, f"kplus_{revision}")
    before = run("db", "check", "--json", KPLUS_DATABASE_URL=database).json
    assert before["current"] == f"kplus_{revision}"
    done = run("db", "upgrade", "--json", KPLUS_DATABASE_URL=database)
    assert len(done.json["applied"]) == len(revisions()) - int(revision)
    assert run("db", "check", KPLUS_DATABASE_URL=database).code == 0


@pytest.mark.parametrize("theirs", ["0003", "0017", "9f3c2a7b1d4e"])
def test_a_version_table_that_others_have_put_in_its_place_is_theirs(
    run: Run, database: str, theirs: str
) -> None:
    """So far one of the two had to stamp over the other: the tables say where ours stand."""
    downgrade(database, LAST_OLD)
    execute(database, f"UPDATE alembic_version SET version_num = '{theirs}'")  # noqa: S608
    done = run("db", "upgrade", "--json", KPLUS_DATABASE_URL=database)
    assert done.code == 0, done.err
    assert run("db", "check", KPLUS_DATABASE_URL=database).code == 0
    engine = create_engine(database)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars()
        assert found.all() == [theirs]
    engine.dispose()


TAKEN = {
    "table partners": "CREATE TABLE partners (id integer)",
    "table cancel_jobs": "CREATE TABLE cancel_jobs (id integer)",
    "view audits": "CREATE VIEW audits AS SELECT 1 AS one",
    "index ix_outbox_due": "CREATE INDEX ix_outbox_due ON theirs (id)",
}
TAKEN_ON_POSTGRESQL = {
    "type locks": "CREATE TYPE locks AS ENUM ('open')",
    "type tombstones": "CREATE DOMAIN tombstones AS text",
    "sequence endpoints": "CREATE SEQUENCE endpoints",
    "index pk_partners": "CREATE INDEX pk_partners ON theirs (id)",
    "function kplus_skip_pruned": (
        "CREATE FUNCTION kplus_skip_pruned() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    ),
}
CLASHES = [
    *((kind, *clash) for kind in ("sqlite", "postgresql") for clash in TAKEN.items()),
    *(("postgresql", *clash) for clash in TAKEN_ON_POSTGRESQL.items()),
]


@pytest.mark.parametrize(
    ("database_kind", "told", "statement"), CLASHES, indirect=["database_kind"]
)
def test_a_name_of_theirs_is_told_before_anything_is_changed(
    run: Run, empty_database: str, told: str, statement: str, partner: dict[str, str]
) -> None:
    execute(empty_database, "CREATE TABLE theirs (id integer)", statement)
    before = sorted(names(empty_database))
    settings = {"KPLUS_DATABASE_URL": empty_database}
    done = run("db", "upgrade", **settings)
    assert done.code == 4
    assert f"holds what is not ours under names of ours: {told}; nothing was changed" in done.err
    remedy = "KPLUS_DATABASE_URL" if "sqlite" in empty_database else "KPLUS_DATABASE_SCHEMA=kplus"
    assert remedy in done.err
    assert sorted(names(empty_database)) == before
    check = run("db", "check", "--table", **settings)
    assert (check.code, told in check.out, remedy in check.out) == (1, True, True)
    checks = run("doctor", "--json", **settings, **partner, **NOWHERE).json["checks"]
    (line,) = [each for each in checks if each["check"] == "schema"]
    assert (line["ok"], told in line["text"], remedy in line["remedy"]) == (False, True, True)
    worker = run("worker", **settings, **partner, **NOWHERE)
    assert (worker.code, told in worker.err) == (4, True)


def test_a_name_is_told_before_the_migration_that_needs_it(run: Run, database: str) -> None:
    """Not in the middle, after others of the same upgrade were run."""
    downgrade(database, "kplus_0006")
    execute(database, "CREATE TABLE endpoints (id integer)")
    before = sorted(names(database))
    done = run("db", "upgrade", KPLUS_DATABASE_URL=database)
    assert (done.code, "table endpoints;" in done.err) == (4, True)
    assert sorted(names(database)) == before
    execute(database, "DROP TABLE endpoints")
    assert run("db", "upgrade", KPLUS_DATABASE_URL=database).code == 0


def test_a_revision_may_be_given_by_its_number(
    run: Run, empty_database: str, settings_env: Callable[..., None]
) -> None:
    done = run("db", "upgrade", "--to", "0012", "--json", KPLUS_DATABASE_URL=empty_database)
    assert done.json["current"] == "kplus_0012"
    wrong = run("db", "upgrade", "--to", "12", KPLUS_DATABASE_URL=empty_database)
    assert (wrong.code, "kplus_0012" in wrong.err) == (2, True)

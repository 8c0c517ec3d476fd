"""The migrations make what the models say, up and down, on both databases."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, Engine, MetaData, inspect, text

from tests.servers.roles import by_owner
from tests.servers.schema import ROOT, VERSION_TABLES, migrate
from worker.store import open_database
from worker.store.schema.tables import metadata
from worker.store.schema.versions import VERSION_TABLE


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    database = open_database(url)
    with database.engine.connect() as connection:
        yield connection
    database.close()


def tables(url: str) -> set[str]:
    with connected(url) as connection:
        return set(inspect(connection).get_table_names()) - VERSION_TABLES


def checks(connection: Connection) -> dict[tuple[str, str], str]:
    """Return every CHECK of the database, by table and name, as the database writes it."""
    if connection.dialect.name == "postgresql":
        found = connection.execute(
            text(
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
                " FROM pg_constraint WHERE contype = 'c'"
                " AND connamespace = current_schema()::regnamespace"
            )
        )
        return {(table, name): definition for table, name, definition in found}
    found = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    return {
        (table, name): re.sub(r"\s+", " ", definition)
        for table, sql in found
        for name, definition in re.findall(
            r"CONSTRAINT (\w+) CHECK \((.*?)\)(?=, *\n|\n\))", sql, re.DOTALL
        )
    }


def indexes(connection: Connection) -> dict[str, str]:
    if connection.dialect.name == "postgresql":
        sql = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
    else:
        sql = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    rows = connection.execute(text(sql))
    return {
        name: re.sub(r"\s+", " ", definition)
        for name, definition in rows
        if not name.startswith(VERSION_TABLE)
    }


def test_the_migrations_go_up_and_down_and_up_again(empty_database: str) -> None:
    migrate(empty_database)
    assert tables(empty_database) == set(metadata.tables)
    migrate(empty_database, "base")
    assert tables(empty_database) == set()
    migrate(empty_database)
    assert tables(empty_database) == set(metadata.tables)


def test_going_up_twice_changes_nothing(empty_database: str) -> None:
    migrate(empty_database)
    migrate(empty_database)
    assert tables(empty_database) == set(metadata.tables)


def test_nothing_is_left_to_migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        options = {"compare_type": True, "version_table": VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


@pytest.fixture
def by_the_models(empty_database: str) -> str:
    """A database whose tables were made by the models."""
    database = open_database(empty_database)
    metadata.create_all(database.engine)
    database.close()
    return empty_database


def test_the_checks_of_the_database_are_those_of_the_models(
    engine: Engine, by_the_models: str
) -> None:
    """Autogenerate sees no CHECK; each is a law of its own."""
    with engine.connect() as migrated, connected(by_the_models) as made:
        found = checks(migrated)
        assert found == checks(made)
    named = {
        (table.name, str(check.name))
        for table in metadata.tables.values()
        for check in table.constraints
        if isinstance(check, CheckConstraint)
        # On SQLite triggers hold those: worker/store/schema/rules.py.
        and check.info.get("only") in {None, engine.dialect.name}
    }
    assert set(found) == named


def test_the_indexes_of_the_database_are_those_of_the_models(
    engine: Engine, by_the_models: str
) -> None:
    """Autogenerate does not compare the conditions of partial indexes."""
    with engine.connect() as migrated, connected(by_the_models) as made:
        found = {name: sql for name, sql in indexes(migrated).items() if "alembic" not in name}
        assert found == indexes(made)


@by_owner
def test_the_triggers_of_the_database_are_those_of_the_models(
    engine: Engine, by_the_models: str
) -> None:
    with engine.connect() as migrated, connected(by_the_models) as made:
        assert triggers(migrated) == triggers(made) != {}


@by_owner
@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_script_of_the_migrations_makes_the_same(engine: Engine, empty_database: str) -> None:
    """Some let nobody but themselves change a schema: they read the SQL, and run it."""
    script = io.StringIO()
    config = Config(output_buffer=script)
    config.set_main_option("script_location", str(ROOT / "migrations"))
    command.upgrade(config, "head", sql=True)
    with psycopg.connect(empty_database.replace("+psycopg", ""), autocommit=True) as database:
        database.execute(script.getvalue().encode())
    with engine.connect() as migrated, connected(empty_database) as made:
        assert checks(migrated) == checks(made)
        assert triggers(migrated) == triggers(made)


@by_owner
@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_everybody_may_try_the_rules_whatever_functions_begin_with(empty_database: str) -> None:
    """A CHECK runs with the rights of who writes the row; some servers give new functions none."""
    with connected(empty_database) as connection:
        connection.execute(text("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"))
        connection.commit()
    migrate(empty_database)
    may = text(
        "SELECT grantee = 0 AND privilege_type = 'EXECUTE' FROM pg_proc, aclexplode(proacl)"
        " WHERE proname = 'kplus_job_is_sound' AND grantee <> proowner"
    )
    with connected(empty_database) as connection:
        assert connection.execute(may).scalars().all() == [True]


def triggers(connection: Connection) -> dict[str, str]:
    """Return every trigger with what it does."""
    if connection.dialect.name == "postgresql":
        sql = (
            "SELECT tgname, pg_get_triggerdef(t.oid) || pg_get_functiondef(tgfoid)"
            " || coalesce(proacl::text, 'everybody')"
            " FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid WHERE NOT tgisinternal"
            " UNION ALL SELECT proname, pg_get_functiondef(oid) || proacl::text FROM pg_proc"
            " WHERE pronamespace = current_schema()::regnamespace"
            " AND prorettype <> 'trigger'::regtype"
        )
    else:
        sql = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    rows = connection.execute(text(sql))
    return {name: re.sub(r"--.*|\s+", " ", definition) for name, definition in rows}


def test_the_defaults_of_the_database_are_those_of_the_models(
    engine: Engine, by_the_models: str
) -> None:
    with engine.connect() as migrated, connected(by_the_models) as made:
        assert _defaults(migrated) == _defaults(made)


def _defaults(connection: Connection) -> dict[str, tuple[object, bool]]:
    reflected = MetaData()
    reflected.reflect(connection, only=list(metadata.tables))
    return {
        f"{table.name}.{column.name}": (
            str(column.server_default.arg) if column.server_default is not None else None,  # type: ignore[attr-defined]
            bool(column.nullable),
        )
        for table in reflected.tables.values()
        for column in table.columns
    }

"""Runs the migrations on the database of the settings, or of the caller's connection."""

import logging
import sys
from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.util import CommandError
from sqlalchemy import Connection

from worker.config.settings import load_settings, read_settings
from worker.errors import KplusError, SettingsError
from worker.store.engine.column_types import Utc
from worker.store.engine.database import Database, open_database
from worker.store.engine.postgresql import patient
from worker.store.schema.namespace import namespace_of
from worker.store.schema.preparation import placed
from worker.store.schema.tables import metadata
from worker.store.schema.versions import VERSION_TABLE
from worker.telemetry.redaction import redact

LOCK_TIMEOUT = "5s"
"""A migration that waits for a lock makes everybody behind it wait as well."""


def _render_item(kind: str, item: object, _context: AutogenContext) -> str | Literal[False]:
    """Write our time type as the plain one: a migration stands without today's code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Utc) else False


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Leave out the tables of others where the models are compared with the database."""
    return kind != "table" or name in metadata.tables


def _migrate(connection: Connection) -> None:
    with connection.begin():
        namespace = namespace_of(connection)
    context.configure(
        connection=connection,
        version_table=VERSION_TABLE,
        version_table_schema=namespace,
        include_name=_is_ours,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=False,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=True,
        render_item=_render_item,
    )
    destination = context.get_context().opts.get("destination_rev")
    with (
        placed(connection, namespace, context.script, destination),
        context.begin_transaction(),
    ):
        context.run_migrations()


def _run() -> None:
    given = context.config.attributes.get("connection")
    if given is not None:
        with patient(given, lock_timeout=LOCK_TIMEOUT):
            _migrate(given)
        return
    database = _open_database()
    with database.connection(lock_timeout=LOCK_TIMEOUT) as connection:
        _migrate(connection)
    database.close()


def _open_database() -> Database:
    settings = load_settings()
    try:
        return open_database(settings.database, schema=settings.database_schema)
    except ImportError as error:
        raise SettingsError(f"KPLUS_DATABASE_URL: its driver cannot be loaded ({error})") from error


def _run_command() -> None:
    """Run for the `alembic` command: print each migration, and an error as one line."""
    steps = logging.getLogger("alembic.runtime.migration")
    steps.setLevel(logging.INFO)
    steps.addHandler(logging.StreamHandler(sys.stderr))
    # It would print the error a second time, beside Alembic's `FAILED:`.
    logging.getLogger("alembic.util.messaging").addHandler(logging.NullHandler())
    try:
        _run()
    except KplusError as error:
        raise CommandError("; ".join(redact(str(error)).splitlines())) from error


def _write_sql(namespace: str | None) -> None:
    context.configure(
        dialect_name="postgresql",
        # Of another style the percent signs of a statement would be doubled.
        dialect_opts={"paramstyle": "named"},
        version_table=VERSION_TABLE,
        version_table_schema=namespace,
        target_metadata=metadata,
        literal_binds=True,
        transaction_per_migration=True,
    )
    if namespace is not None:
        context.static_output(f"CREATE SCHEMA IF NOT EXISTS {namespace};")
        context.static_output(f"SET search_path TO {namespace}, pg_temp;")
    with context.begin_transaction():
        context.run_migrations()
    if namespace is not None:
        context.static_output("RESET search_path;")


if context.is_offline_mode():
    _write_sql(read_settings().database_schema)
elif context.config.cmd_opts is not None:
    _run_command()
else:
    _run()

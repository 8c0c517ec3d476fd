"""Runs the migrations on the database of the settings, or of the caller's connection."""

import logging
import sys
from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.util import CommandError
from sqlalchemy import Connection

from worker.config.settings import load_settings
from worker.errors import KplusError, SettingsError
from worker.store.engine.column_types import Utc
from worker.store.engine.database import Database, open_database
from worker.store.engine.postgresql import patient
from worker.store.schema.tables import metadata
from worker.telemetry.redaction import redact

LOCK_TIMEOUT = "5s"
"""A migration that waits for a lock makes everybody behind it wait as well."""


def _render_item(kind: str, item: object, _context: AutogenContext) -> str | Literal[False]:
    """Write our time type as the plain one: a migration stands without today's code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Utc) else False


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=False,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=True,
        render_item=_render_item,
    )
    with context.begin_transaction():
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
        return open_database(settings.database)
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


if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql",
        # Of another style the percent signs of a statement would be doubled.
        dialect_opts={"paramstyle": "named"},
        target_metadata=metadata,
        literal_binds=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
elif context.config.cmd_opts is not None:
    _run_command()
else:
    _run()

"""The schema as users get it: by the migrations, never by the models."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config

from worker.store import open_database
from worker.store.schema.versions import SHARED_TABLE, VERSION_TABLE

ROOT = Path(__file__).parents[2]
VERSION_TABLES: Final = {VERSION_TABLE, SHARED_TABLE}
"""Where the revision is, now and before there was a table of our own."""


def migrate(url: str, to: str = "head", *, schema: str | None = None) -> None:
    """Bring a database up to a revision, as `kplus-cancel db upgrade` does, or down to `base`."""
    _run(command.downgrade if to == "base" else command.upgrade, url, to, schema)


def downgrade(url: str, to: str) -> None:
    """Bring a database down to a revision, as `alembic downgrade` does."""
    _run(command.downgrade, url, to)


def _run(
    act: Callable[[Config, str], object], url: str, to: str, schema: str | None = None
) -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    database = open_database(url, schema=schema)
    try:
        with database.engine.connect() as connection:
            config.attributes["connection"] = connection
            act(config, to)
            connection.commit()
    finally:
        database.close()

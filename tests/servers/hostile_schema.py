"""A database of others, to whose tables every session's `search_path` leads; ours are elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from tests.servers.postgres import PostgresServer
from worker.store.schema.tables import metadata
from worker.store.schema.versions import SHARED_TABLE

SCHEMA: Final = "kplus"
THEIRS: Final = "theirs"


@contextmanager
def plain(url: str) -> Iterator[Connection]:
    """Connect as nobody of ours; each statement is a transaction of its own."""
    engine = create_engine(make_url(url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def hostile_database(postgresql_server: PostgresServer) -> Iterator[str]:
    """
    The URL of a database with a table of theirs under each of our names.

    A statement of ours that names no schema meets one of them, and fails.
    """
    url = postgresql_server.create_empty()
    with plain(url) as connection:
        connection.execute(text(f"CREATE SCHEMA {THEIRS}"))
        for name in (*metadata.tables, SHARED_TABLE):
            connection.execute(text(f"CREATE TABLE {THEIRS}.{name} (theirs integer)"))
        path = f"SET search_path = {THEIRS}, public"
        connection.execute(text(f"ALTER DATABASE {make_url(url).database} {path}"))
    yield url
    postgresql_server.drop(url)


def rows_of_theirs(url: str) -> int:
    """Return how many rows their tables have: none were there."""
    with plain(url) as connection:
        return sum(
            connection.execute(text(f"SELECT count(*) FROM {THEIRS}.{name}")).scalar_one()  # noqa: S608
            for name in (*metadata.tables, SHARED_TABLE)
        )

"""
What is there already under a name that a migration needs, though it is not ours.

Found before the first migration is run: an upgrade that ends halfway helps nobody.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script
from sqlalchemy import Connection, text

from worker.store.schema.versions import VERSION_TABLE

_NAMED = re.compile(
    r"""
    \b(?P<act>CREATE|DROP)\ (?:UNIQUE\ )?(?:TABLE|INDEX|FUNCTION|TRIGGER)
    \ (?:%{1,2}1\$I\.)?(?P<name>\w+)
    |\bCONSTRAINT\ (?P<key>\w+)\ (?:PRIMARY\ KEY|UNIQUE)
    """,
    re.VERBOSE,
)
# Tables, indexes and sequences share one space of names; each table is a type as well.
_TAKEN = text(
    """
    SELECT c.relname AS name, CASE c.relkind
        WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'f' THEN 'foreign table'
        WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'v' THEN 'view'
        WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' ELSE 'type' END AS kind
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = :namespace AND c.relname = ANY(:names)
    UNION SELECT t.typname, 'type'
    FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
    WHERE n.nspname = :namespace AND t.typname = ANY(:names) AND t.typrelid = 0
    UNION SELECT p.proname, 'function'
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = :namespace AND p.proname = ANY(:names)
    """
)
_TAKEN_ON_SQLITE = text("SELECT name, type AS kind FROM sqlite_master")


def clashes(connection: Connection, namespace: str | None, pending: Iterable[Script]) -> list[str]:
    """Return what is in the way of these migrations, as `table partners`, in order."""
    names = sorted(set(_needed(connection, pending)))
    if connection.dialect.name == "sqlite":
        rows = connection.execute(_TAKEN_ON_SQLITE).all()
    else:
        rows = connection.execute(_TAKEN, {"namespace": namespace, "names": names}).all()
    return sorted(f"{row.kind} {row.name}" for row in rows if row.name in names)


def _needed(connection: Connection, pending: Iterable[Script]) -> Iterator[str]:
    """
    Yield the names that the migrations give, as they write them.

    A name that a migration drops first is ours, and so is what it makes anew.
    """
    ours: set[str] = set()
    for found in _NAMED.finditer(_sql(connection, pending)):
        name = found["key"] or found["name"]
        if found["act"] != "DROP" and name not in ours and not name.startswith(VERSION_TABLE):
            yield name
        ours.add(name)


def _sql(connection: Connection, pending: Iterable[Script]) -> str:
    """Return what the migrations would execute on this kind of database."""
    written = StringIO()
    options = {"as_sql": True, "output_buffer": written}
    with _quiet():
        context = MigrationContext.configure(dialect=connection.dialect, opts=options)
    with Operations.context(context):
        for step in pending:
            step.module.upgrade()
    return written.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """Let Alembic not announce that it writes SQL: nobody gets to see it."""
    log = logging.getLogger("alembic.runtime.migration")
    level = log.level
    log.setLevel(logging.WARNING)
    yield
    log.setLevel(level)

"""The hot statements as each database gets them: the generated part of docs/reference/sql.md."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite

from tools.sql_format import formatted
from worker.domain.states import Event, State
from worker.store import Database, open_database
from worker.store.engine.prepared import with_literals
from worker.store.jobs.accept import accept_steps
from worker.store.jobs.attempts import evidence_statements
from worker.store.jobs.claim import claim_steps
from worker.store.jobs.hint_statements import (
    front_statement,
    hint_statement,
    take_back_statement,
    waiting_partners_statement,
)
from worker.store.jobs.settle import settle_statement, with_evidence
from worker.store.jobs.sweep import dead_statement

DATABASES = {"PostgreSQL": "postgresql://user@host/name", "SQLite": "sqlite:///unused.db"}
"""A URL for each: nothing connects to it."""
_PARAMETER = re.compile(r"(?<!:):(\w+)")
_DIALECTS: dict[str, Any] = {
    # With named parameters, which SQLite's driver and PostgreSQL's take by their position.
    "PostgreSQL": postgresql.psycopg.dialect(paramstyle="named"),  # type: ignore[no-untyped-call]
    "SQLite": sqlite.dialect(paramstyle="named"),
}


def _settle(database: Database) -> list[Any]:
    """Return what writes a clear yes; the other ends differ in what they SET."""
    moving = settle_statement(Event.SUCCEED, State.IN_FLIGHT)
    if database.is_sqlite:
        return [moving, *evidence_statements(database)]
    return [with_evidence(moving)]


def _hint(_database: Database) -> list[Any]:
    """Return the statements of a pass; those partner by partner read the same jobs."""
    return [
        take_back_statement(),
        front_statement(),
        waiting_partners_statement(),
        hint_statement(),
    ]


def _rescue(_database: Database) -> list[Any]:
    return [dead_statement(), settle_statement(Event.DOUBT, State.IN_FLIGHT)]


STATEMENTS: dict[str, Callable[[Database], list[Any]]] = {
    "accept": accept_steps,
    "claim": claim_steps,
    "settle": _settle,
    "hint": _hint,
    "rescue": _rescue,
}


def part(name: str) -> str:
    """Return one of the statements as both databases get it, as Markdown."""
    blocks = []
    for kind in DATABASES:
        statements = "\n\n".join(f"{formatted(each)};" for each in texts(name, kind))
        blocks.append(f"{kind}:\n\n```sql\n{statements}\n```")
    return "\n\n".join(blocks)


def texts(name: str, kind: str) -> list[str]:
    """Return the texts of one of the statements as a database gets them."""
    database = open_database(DATABASES[kind])
    found = [text(step, _DIALECTS[kind]) for step in STATEMENTS[name](database)]
    database.close()
    return found


def text(statement: Any, dialect: Dialect) -> str:
    """Return the statement with its parameters named, and what never changes written out."""
    compiled, fixed = with_literals(statement.compile(dialect=dialect))
    return _PARAMETER.sub(lambda found: fixed.get(found[1], found[0]), compiled)


PARTS: dict[str, Callable[[], str]] = {f"sql_{name}": partial(part, name) for name in STATEMENTS}

"""
Whether what guards the tables is of this release, and how it is put back.

The trigger that keeps pruned uids, and the function of PostgreSQL that holds the rules of a job's
row. Also whether others may put things of their own beside ours.
"""

import re
from collections.abc import Iterator

from sqlalchemy import Connection, text

from worker.store.engine.database import Database
from worker.store.schema import soundness, triggers
from worker.store.schema.tables import cancel_jobs

_BEFORE_EACH_INSERT = 7
"""How PostgreSQL writes BEFORE, INSERT and FOR EACH ROW as one number."""
_FIRES = ("O", "A")
_LOOK = text(
    """
    SELECT t.tgenabled, t.tgtype, t.tgqual IS NULL AS is_unconditional, p.prosecdef, p.proconfig,
           p.prosrc = pg_catalog.format(:body, n.nspname, pg_catalog.format('%I.cancel_jobs',
                                                                           n.nspname)) AS is_ours,
           EXISTS (SELECT 1 FROM pg_catalog.aclexplode(coalesce(p.proacl,
                   pg_catalog.acldefault('f', p.proowner))) AS a WHERE a.grantee = 0) AS is_open
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = :name
    LEFT JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    WHERE c.relname = 'cancel_jobs' AND n.nspname = :namespace
    """
)

_LOOK_AT_RULES = text(
    """
    SELECT p.prosrc, p.proconfig,
           EXISTS (SELECT 1 FROM pg_catalog.aclexplode(coalesce(p.proacl,
                   pg_catalog.acldefault('f', p.proowner))) AS a
                   WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE') AS is_open
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_proc AS p ON p.pronamespace = n.oid AND p.proname = :name
    WHERE c.relname = 'cancel_jobs' AND n.nspname = :namespace
    """
)

_OPEN = text(
    """
    SELECT n.nspname FROM pg_catalog.pg_namespace AS n,
           pg_catalog.aclexplode(n.nspacl) AS a
    WHERE n.nspname = ANY(pg_catalog.current_schemas(false))
      AND a.grantee = 0 AND a.privilege_type = 'CREATE'
    """
)


def faults(connection: Connection, namespace: str | None) -> list[str]:
    """
    Return what is wrong with the guard; nothing if it is as this release makes it.

    A restored dump, or a script that switched triggers off, may have left another one. Without
    the guard a pruned uid becomes a job again, and an old one gives its owner's rights away. With
    other rules a row may be two things at once; where not everybody may try them, nobody writes.
    """
    if connection.dialect.name == "sqlite":
        return _on_sqlite(connection)
    return _on_postgresql(connection, namespace)


def open_schemas(database: Database) -> list[str]:
    """
    Return the schemas, among those that we look into, in which everybody may create things.

    A function or operator that fits a statement of ours better than PostgreSQL's own is run in
    its place, with our rights.
    """
    if database.is_sqlite:
        return []
    with database.reading() as connection:
        return list(connection.execute(_OPEN).scalars())


def restore(connection: Connection) -> None:
    """Make it anew, as this release makes it, where names without a schema lead."""
    kind = connection.dialect.name
    if kind == "sqlite":
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {triggers.FUNCTION}")
    for statement in triggers.CREATE[kind]:
        connection.execute(triggers.as_ddl(statement))
    if kind == "postgresql":
        connection.exec_driver_sql(f"ALTER TABLE cancel_jobs ENABLE TRIGGER {triggers.FUNCTION}")
        connection.execute(triggers.as_ddl(_rules().create()))


def _on_postgresql(connection: Connection, namespace: str | None) -> list[str]:
    of_trigger = {"body": triggers.BODY, "name": triggers.FUNCTION, "namespace": namespace}
    row = connection.execute(_LOOK, of_trigger).first()
    if row is None:
        return []  # without its table it is a missing table that is told
    if row.tgenabled is None:
        return [f"the trigger {triggers.FUNCTION}"]
    wrong = []
    if row.tgenabled not in _FIRES:
        wrong.append(f"the trigger {triggers.FUNCTION}, which is switched off")
    is_safe = row.prosecdef and tuple(row.proconfig or ()) == triggers.CONFIG and not row.is_open
    is_whole = row.tgtype == _BEFORE_EACH_INSERT and row.is_unconditional and row.is_ours
    if not (is_safe and is_whole):
        wrong.append(f"this release's function {triggers.FUNCTION} (another one stands there)")
    return [*wrong, *_wrong_rules(connection, namespace)]


def _wrong_rules(connection: Connection, namespace: str | None) -> Iterator[str]:
    of_rules = {"name": soundness.FUNCTION, "namespace": namespace}
    for row in connection.execute(_LOOK_AT_RULES, of_rules):
        if (row.prosrc, tuple(row.proconfig or ())) != (_rules().body, soundness.CONFIG):
            yield f"this release's function {soundness.FUNCTION} (another one stands there)"
        elif not row.is_open:
            yield f"the right of everybody to call {soundness.FUNCTION}"


def _rules() -> soundness.Function:
    function: soundness.Function = cancel_jobs.info[soundness.FUNCTION]
    return function


def _on_sqlite(connection: Connection) -> list[str]:
    sql = text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = :name")
    found = connection.execute(sql, {"name": triggers.FUNCTION}).scalar()
    if found is None:
        return [f"the trigger {triggers.FUNCTION}"]
    if _words(found) != _words(triggers.SQLITE):
        return [f"this release's trigger {triggers.FUNCTION} (another one stands there)"]
    return []


def _words(sql: str) -> list[str]:
    return re.findall(r"\S+", sql)

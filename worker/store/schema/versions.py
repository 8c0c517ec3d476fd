"""
The table that says which migrations were run: one of our own name, whoever else uses Alembic here.

Before `BEGAN` it was `alembic_version`, which every program with Alembic uses by default.
"""

from typing import Final

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    delete,
    insert,
    inspect,
    select,
    text,
)

from worker.store.schema import landmarks

VERSION_TABLE: Final = "kplus_cancel_version"
SHARED_TABLE: Final = "alembic_version"
PREFIX: Final = "kplus_"
"""How our revisions begin, so that they are nobody else's."""
BEGAN: Final = "kplus_0017"
"""
The migration from which on there is a table of our own; below it there is the shared one.

A shared table that was ours keeps this revision for good. To the version before it is one of a
newer release, so it goes on; and a row with it is certainly ours.
"""

# The rights of who could read the revision, so that the workers' own role still can.
_COPY_RIGHTS = text(
    """
    SELECT 'GRANT SELECT ON {own} TO '
           || CASE a.grantee WHEN 0 THEN 'PUBLIC'
              ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
    FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
    WHERE c.relname = :shared AND c.relkind = 'r' AND a.privilege_type = 'SELECT'
      AND a.grantee <> c.relowner
      AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = :namespace)
    """
)


def current(connection: Connection, namespace: str | None) -> str | None:
    """Return the revision of our tables; None if they are not there."""
    if _has(connection, VERSION_TABLE, namespace):
        rows = _rows(connection, VERSION_TABLE, namespace)
        return rows[-1] if rows else None
    if not landmarks.are_ours(connection, namespace):
        return None
    newest = landmarks.newest(connection, namespace)
    return _shared_revision(connection, namespace, newest) or newest


def take_over(connection: Connection, namespace: str | None) -> None:
    """
    Give tables that were made before `BEGAN` a version table of our own.

    The shared one is written only if it says what our tables say; then it is ours, and stays for
    workers of the version before. Nothing is committed.
    """
    if _has(connection, VERSION_TABLE, namespace):
        return
    revision = current(connection, namespace)
    if revision is None:
        return
    own = _table(VERSION_TABLE, namespace)
    own.create(connection)
    connection.execute(insert(own).values(version_num=revision))
    if _shared_revision(connection, namespace, landmarks.newest(connection, namespace)):
        _copy_rights(connection, own, namespace)
        _write(connection, SHARED_TABLE, namespace, BEGAN)


def give_back(connection: Connection, namespace: str | None) -> None:
    """
    Leave tables that were brought below `BEGAN` as the versions of then expect them.

    The shared version table is left alone if another program uses it. Nothing is committed.
    """
    if not _has(connection, VERSION_TABLE, namespace):
        return
    revision = current(connection, namespace)
    if revision is not None and revision >= BEGAN:
        return
    shared = _has(connection, SHARED_TABLE, namespace)
    if shared and _rows(connection, SHARED_TABLE, namespace) != [BEGAN]:
        return
    if revision is None:
        if shared:
            _table(SHARED_TABLE, namespace).drop(connection)
    else:
        if not shared:
            _table(SHARED_TABLE, namespace).create(connection)
        _write(connection, SHARED_TABLE, namespace, revision.removeprefix(PREFIX))
    _table(VERSION_TABLE, namespace).drop(connection)


def _shared_revision(connection: Connection, namespace: str | None, newest: str) -> str | None:
    """Return our revision of a shared version table that is ours, by what our tables show."""
    if not _has(connection, SHARED_TABLE, namespace):
        return None
    rows = _rows(connection, SHARED_TABLE, namespace)
    revision = f"{PREFIX}{rows[0]}" if len(rows) == 1 else ""
    is_sqlite = connection.dialect.name == "sqlite"
    fits = revision < BEGAN and landmarks.fits(revision, newest, is_sqlite=is_sqlite)
    return revision if fits else None


def _copy_rights(connection: Connection, own: Table, namespace: str | None) -> None:
    if connection.dialect.name == "postgresql":
        name = connection.dialect.identifier_preparer.format_table(own)
        of_shared = {"shared": SHARED_TABLE, "namespace": namespace}
        for grant in connection.execute(_COPY_RIGHTS, of_shared).scalars():
            connection.exec_driver_sql(grant.replace("{own}", name))


def _has(connection: Connection, name: str, namespace: str | None) -> bool:
    return inspect(connection).has_table(name, schema=namespace)


def _rows(connection: Connection, name: str, namespace: str | None) -> list[str]:
    return sorted(connection.execute(select(_table(name, namespace).c.version_num)).scalars())


def _write(connection: Connection, name: str, namespace: str | None, revision: str) -> None:
    table = _table(name, namespace)
    connection.execute(delete(table))
    connection.execute(insert(table).values(version_num=revision))


def _table(name: str, namespace: str | None) -> Table:
    """Return a version table as Alembic makes it."""
    return Table(
        name,
        MetaData(),
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name=f"{name}_pkc"),
        schema=namespace,
    )

"""
Where the tables are: the schema of PostgreSQL that is set, or the one that `search_path` leads to.

It is called namespace here, as PostgreSQL calls it inside: `Schema` is what the tables are.
"""

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from worker.errors import StoreUnsuitable
from worker.store.engine.postgresql import begin_with
from worker.store.engine.schemas import schema_of

_HERE = text(
    """
    SELECT coalesce(
        (SELECT n.nspname FROM pg_catalog.pg_class AS c
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE c.oid = pg_catalog.to_regclass('cancel_jobs')),
        pg_catalog.current_schema())::text
    """
)
_RIGHTS = text(
    """
    SELECT pg_catalog.quote_ident(current_user) AS role,
           pg_catalog.quote_ident(pg_catalog.current_database()) AS database,
           pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS may_make,
           n.oid IS NOT NULL AS exists,
           pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may_use,
           pg_catalog.has_schema_privilege(n.oid, 'CREATE') AS may_create
    FROM (VALUES (1)) AS one LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = :name
    """
)
_PERMISSION_DENIED = "42501"


def namespace_of(connection: Connection) -> str | None:
    """
    Return the schema where our tables are, or would be made; None on SQLite.

    Raise `StoreUnsuitable`, with the GRANT that is missing, if its tables cannot be seen.
    """
    name = schema_of(connection)
    if name is None:
        return namespace_found(connection)
    row = connection.execute(_RIGHTS, {"name": name}).one()
    if row.exists and not row.may_use:
        raise StoreUnsuitable(
            f"the role {row.role} may not use the schema {name}",
            f"let its owner run `GRANT USAGE ON SCHEMA {_quoted(connection, name)} TO {row.role}`",
        )
    return name


def namespace_found(connection: Connection) -> str | None:
    """Return the schema to which `search_path` leads; None on SQLite, or if there is none."""
    if connection.dialect.name != "postgresql":
        return None
    found: str | None = connection.execute(_HERE).scalar()
    return found


def make_namespace(connection: Connection, name: str | None) -> None:
    """
    Make sure that tables can be made there; make the schema if it is not there.

    Raise `StoreUnsuitable`, with the GRANT that is missing. Nothing is committed.
    """
    if connection.dialect.name != "postgresql":
        return
    if name is None:
        raise StoreUnsuitable(
            "the role's search_path leads to no schema of this database",
            "set KPLUS_DATABASE_SCHEMA",
        )
    row = connection.execute(_RIGHTS, {"name": name}).one()
    if not row.exists:
        _create(connection, name, role=row.role, database=row.database)
    elif not (row.may_use and row.may_create):
        grant = f"USAGE, CREATE ON SCHEMA {_quoted(connection, name)} TO {row.role}"
        raise StoreUnsuitable(
            f"the role {row.role} may make no tables in the schema {name}",
            f"let its owner run `GRANT {grant}`",
        )


def use_names_of(connection: Connection, namespace: str | None) -> None:
    """Let names without a schema, from the next transaction on, be the namespace's alone."""
    if namespace is not None:
        path = f"SET LOCAL search_path TO {_quoted(connection, namespace)}, pg_temp"
        begin_with(connection, path)


def _create(connection: Connection, name: str, *, role: str, database: str) -> None:
    try:
        connection.exec_driver_sql(f"CREATE SCHEMA {_quoted(connection, name)}")
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _PERMISSION_DENIED:
            raise
        raise StoreUnsuitable(
            f"there is no schema {name}, and the role {role} may not make one",
            f"let the owner of the database run `CREATE SCHEMA {_quoted(connection, name)}"
            f" AUTHORIZATION {role}`, or `GRANT CREATE ON DATABASE {database} TO {role}`",
        ) from error


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_schema(name)

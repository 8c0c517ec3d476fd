"""
The roles of deploy/postgresql/roles.sql, under names of this run's own: roles are the server's.

With KPLUS_TEST_ROLES=1 the tests on PostgreSQL work by them: each part of the store goes by the
role that does its work in production, and real workers log in as the worker.
"""

import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import Connection, NullPool, create_engine, make_url

from tests.servers.own_schema import OWN_SCHEMA
from tests.servers.postgres import PostgresServer
from tests.servers.schema import ROOT, migrate
from worker.store import Cooldown, Store, open_database

SETTING: Final = "KPLUS_TEST_ROLES"
BY_ROLE: Final = os.environ.get(SETTING) == "1"
by_owner = pytest.mark.skipif(BY_ROLE, reason="it is about what the tables' owner sees or does")
FILE: Final = ROOT / "deploy" / "postgresql" / "roles.sql"
ROLES: Final = ("owner", "worker", "operator", "reader", "producer")
PASSWORD: Final = "only-in-these-tests"
_NAME: Final = re.compile(rf"\bkplus_({'|'.join(ROLES)})\b")
_IF_GIVEN: Final = re.compile(r"^\\if .*?$(.*?)^\\endif$", re.DOTALL | re.MULTILINE)
_STATEMENT: Final = re.compile(r"(?:\$\$.*?\$\$|[^;$])+;", re.DOTALL)
_OPERATORS: Final = frozenset(
    [
        "actions",
        "audits",
        "bulk",
        "conversations",
        "exports",
        "reports",
        "retention",
        "unknown_words",
    ]
)
"""The parts of a store by which operators look and act."""


class Roles:
    """One set of the five roles, and the grants of the file in any number of databases."""

    def __init__(self) -> None:
        self._run = uuid.uuid4().hex[:12]

    def name(self, role: str) -> str:
        """Return the name of a role in this run."""
        return f"kplus_{role}_{self._run}"

    def named(self) -> str:
        """Return the file with the names of this run."""
        return _NAME.sub(lambda found: self.name(found[1]), FILE.read_text())

    def statements(self, schema: str | None = None) -> list[str]:
        """Return the file, one statement after the other, with the names of this run."""
        sql = _IF_GIVEN.sub(r"\1" if schema else "", self.named()).replace(
            ":'schema'", f"'{schema}'"
        )
        sql = re.sub(r"^--.*$", "", sql, flags=re.MULTILINE)
        return [found.strip() for found in _STATEMENT.findall(sql)]

    def install(self, url: str, schema: str | None = OWN_SCHEMA) -> None:
        """Run the file in a database, then let each role log in."""
        with connected(url) as connection:
            for statement in self.statements(schema):
                run(connection, statement)
            for role in ROLES:
                run(connection, f"ALTER ROLE {self.name(role)} LOGIN PASSWORD '{PASSWORD}'")

    def url(self, database: str, role: str) -> str:
        """Return the URL by which a role connects to a database."""
        url = make_url(database).set(username=self.name(role), password=PASSWORD)
        return url.render_as_string(hide_password=False)


class StoreByRole(Store):
    """A store whose parts go each by its role; its `database`, for a look, is its owner's."""

    def __init__(
        self, database: str, roles: Roles, *, cooldown: Cooldown | None = None, **options: Any
    ) -> None:
        store, of_worker, of_operator = self._all = [
            Store(open_database(url, **options), cooldown=cooldown)
            for url in (database, roles.url(database, "worker"), roles.url(database, "operator"))
        ]
        super().__init__(store.database)
        for part in set(vars(of_worker)) - {"database"}:
            setattr(self, part, getattr(of_operator if part in _OPERATORS else of_worker, part))

    def close(self) -> None:
        for store in self._all:
            store.close()


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Connect once; each statement is a transaction of its own."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
    )
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def run(connection: Connection, statement: str) -> None:
    """Execute a statement in which a percent sign is one."""
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


@pytest.fixture(scope="session")
def roles(postgresql_server: PostgresServer) -> Iterator[Roles]:
    """The five roles on the server of the tests; gone with the run."""
    made = Roles()
    yield made
    for role in ROLES:
        postgresql_server.execute(f"DROP ROLE IF EXISTS {made.name(role)}")


@pytest.fixture(scope="session")
def with_roles(
    postgresql_server: PostgresServer, roles: Roles, request: pytest.FixtureRequest
) -> Iterator[Callable[[], str]]:
    """Makes databases with our tables and roles; with a parameter, in a schema of that name."""
    schema: str | None = getattr(request, "param", None)
    if schema is None:
        url = postgresql_server.create()
    else:
        url = postgresql_server.create_empty()
        migrate(url, schema=schema)
    roles.install(url, schema or OWN_SCHEMA)

    def copy() -> str:
        made = postgresql_server.copy(url)
        if schema is not None:
            name = make_url(made).database
            postgresql_server.execute(f"ALTER DATABASE {name} SET search_path = {schema}")
        return made

    yield copy
    postgresql_server.drop(url)


@pytest.fixture
def worker_database(database: str, request: pytest.FixtureRequest) -> str:
    """The URL by which a worker connects to the test's database."""
    if not BY_ROLE or not database.startswith("postgresql"):
        return database
    roles: Roles = request.getfixturevalue("roles")
    roles.install(database)
    return roles.url(database, "worker")

"""
Databases for the tests: new for each, with the tables of the migrations, on both kinds.

A test that takes `database` (its URL) or `store` runs on SQLite and on PostgreSQL.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol
from unittest import mock

import pytest
from sqlalchemy import make_url

from tests.servers.missing import unavailable
from tests.servers.own_schema import in_own_schema
from tests.servers.postgres import NoServer, PostgresServer, PrivatePostgres
from tests.servers.schema import migrate
from tests.servers.waiting import LIMIT
from worker.domain.leases import InquiryUids
from worker.store import Clock, Cooldown, Store, Timeouts, open_database

GIVEN: Final = "KPLUS_TEST_DATABASE_URL"
KINDS: Final = ("sqlite", pytest.param("postgresql", marks=pytest.mark.postgres))


PATIENT: Final = Timeouts(
    lock=timedelta(seconds=LIMIT),
    idle_in_transaction=timedelta(seconds=LIMIT),
    statement=timedelta(seconds=LIMIT),
    answer=timedelta(seconds=LIMIT),
)
"""No limit of ours ends a test that is only slow; one that is about a limit sets that one."""


@pytest.fixture(scope="session", autouse=True)
def _patient_databases() -> Iterator[None]:
    """
    Give every database that this process opens these timeouts by default.

    On a busy machine a command or a migration can pause for more than the five seconds that the
    product allows between two statements of a transaction (measured).
    """
    with mock.patch.dict(open_database.__kwdefaults__, timeouts=PATIENT), in_own_schema():
        yield


class Databases(Protocol):
    """Where databases of one kind come from."""

    def create(self) -> str:
        """Return the URL of a new database with our tables."""

    def create_empty(self) -> str:
        """Return the URL of a new database without tables."""

    def drop(self, url: str) -> None:
        """Remove a database."""


MakeDatabase = Callable[[], str]
StoreAt = Callable[..., Store]


class SqliteFiles:
    """SQLite files in a folder; all but the first are copies of the first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = folder / "template.db"
        self._made = 0

    def create(self) -> str:
        if not self._template.exists():
            migrate(f"sqlite:///{self._template}")
        url = self.create_empty()
        shutil.copy(self._template, str(make_url(url).database))
        return url

    def create_empty(self) -> str:
        self._made += 1
        return f"sqlite:///{self._folder / f'{self._made}.db'}"

    def drop(self, url: str) -> None:
        for ending in ("", "-wal", "-shm"):
            Path(f"{make_url(url).database}{ending}").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> Databases:
    return SqliteFiles(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresServer]:
    """The given server, or a private one that lives as long as the run."""
    with ExitStack() as stack:
        if given := os.environ.get(GIVEN):
            server = PostgresServer(make_url(given))
        else:
            try:
                server = PostgresServer(stack.enter_context(PrivatePostgres()).url)
            except NoServer as reason:
                unavailable("PostgreSQL", reason)
        stack.callback(server.close)
        yield server


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Callable[[str], Databases]:
    """Where databases come from, by kind: for fixtures of a wider scope, and many a test."""
    return lambda kind: request.getfixturevalue(f"{kind}_server")


@pytest.fixture(params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    """Each kind in turn; a test for one alone parametrises this one, `indirect=True`."""
    kind: str = request.param
    return kind


@pytest.fixture
def make_database(
    database_kind: str, databases: Callable[[str], Databases]
) -> Iterator[MakeDatabase]:
    """As many new databases of the kind as a test wants; dropped at its end."""
    server = databases(database_kind)
    with ExitStack() as stack:

        def make() -> str:
            url = server.create()
            stack.callback(server.drop, url)
            return url

        yield make


@pytest.fixture
def database(make_database: MakeDatabase) -> str:
    """The URL of a new database with our tables."""
    return make_database()


@pytest.fixture
def empty_database(database_kind: str, databases: Callable[[str], Databases]) -> Iterator[str]:
    """The URL of a new database without tables."""
    server = databases(database_kind)
    url = server.create_empty()
    yield url
    server.drop(url)


@pytest.fixture
def store_at(database: str) -> Iterator[StoreAt]:
    """Stores over the one database, each as in a process of its own; closed at the end."""
    with ExitStack() as stack:

        def open_one(
            clock: Clock | None = None,
            *,
            cooldown: Cooldown | None = None,
            inquiry_uids: InquiryUids | None = None,
            **options: Any,
        ) -> Store:
            opened = open_database(database, clock=clock, **options)
            store = Store(opened, cooldown=cooldown, inquiry_uids=inquiry_uids)
            stack.callback(store.close)
            return store

        yield open_one


@pytest.fixture
def store(store_at: StoreAt) -> Store:
    """A store that goes by the real time."""
    return store_at()

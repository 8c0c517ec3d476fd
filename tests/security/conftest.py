"""A database on which the five roles work, and whoever logs in as one of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from sqlalchemy import make_url

from tests.integration.stock import ANSWERED, CANCELLED, SECOND, Clock, accept, claimed, settle
from tests.servers.postgres import PostgresServer
from tests.servers.roles import Roles, connected
from worker.domain.states import Outcome
from worker.store import MIN_AGE, Store, open_database

Log = Callable[[str], psycopg.Connection[tuple[object, ...]]]
PRUNED = "U1"


@pytest.fixture
def database(postgresql_server: PostgresServer, with_roles: Callable[[], str]) -> Iterator[str]:
    """The URL of a new database with our tables and roles, as who made it."""
    url = with_roles()
    yield url
    postgresql_server.drop(url)


@pytest.fixture
def schema(database: str) -> str:
    """The schema of our tables."""
    with connected(database) as connection:
        found: str = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    return found


@pytest.fixture
def log_in(database: str, roles: Roles) -> Iterator[Log]:
    """Connections of a role, each statement a transaction of its own; `superuser` may do all."""
    with ExitStack() as stack:

        def connect(role: str) -> psycopg.Connection[tuple[object, ...]]:
            url = database if role == "superuser" else roles.url(database, role)
            plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
            return stack.enter_context(psycopg.connect(plain, autocommit=True))

        yield connect


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: str, clock: Clock) -> Iterator[Store]:
    """A store that may do all."""
    store = Store(open_database(database, clock=clock))
    yield store
    store.close()


@pytest.fixture
def prune(store: Store, clock: Clock) -> Callable[[], None]:
    """Let a job be accepted, end, and be pruned."""

    def act() -> None:
        accept(store, PRUNED)
        settle(store, claimed(store, PRUNED), CANCELLED, ANSWERED)
        clock.forward(MIN_AGE + SECOND)
        assert store.retention.jobs(Outcome.CANCELLED, older_than=MIN_AGE).jobs == 1

    return act

"""A primary and its standby, for the tests of failovers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import URL

from tests.servers.missing import unavailable
from tests.servers.postgres import NoServer, PostgresServer, PrivatePostgres, debian_programs
from tests.servers.schema import migrate


@dataclass
class Pair:
    """Two servers, of which one follows the other."""

    primary: PrivatePostgres
    standby: PrivatePostgres

    def url(self, **query: str) -> str:
        """Return the URL that names both, the primary first."""
        hosts = [f"127.0.0.1:{each.port}" for each in (self.primary, self.standby)]
        url: URL = self.primary.url.set(host=None, port=None, database="kplus")
        return url.set(query={"host": hosts, **query}).render_as_string(hide_password=False)

    def has_caught_up(self) -> bool:
        """Tell whether the standby has all that the primary has written."""
        engine = create_engine(self.primary.url, poolclass=NullPool)
        with engine.connect() as connection:
            sql = "SELECT replay_lsn = pg_current_wal_lsn() FROM pg_stat_replication"
            return bool(connection.exec_driver_sql(sql).scalar())

    def wait_for_each_other(self) -> None:
        """Let no transaction of the primary end before the standby has it: nothing can be lost."""
        server = PostgresServer(self.primary.url)
        server.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        server.execute("SELECT pg_reload_conf()")
        server.close()


@contextmanager
def standing(programs: Path | None) -> Iterator[Pair]:
    """Start a primary with our tables, and its standby. Raise `NoServer`."""
    with PrivatePostgres(restarts=True, durable=True, programs=programs) as primary:
        server = PostgresServer(primary.url)
        server.execute("CREATE DATABASE kplus")
        server.close()
        migrate(primary.url.set(database="kplus").render_as_string(hide_password=False))
        follower = PrivatePostgres(
            restarts=True, durable=True, programs=programs, standby_of=primary
        )
        with follower as standby:
            yield Pair(primary, standby)


@pytest.fixture(params=["wheel", "debian"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A primary and its standby of the test's own, of PostgreSQL's newest release and Debian's."""
    with ExitStack() as stack:
        try:
            programs = debian_programs() if request.param == "debian" else None
            both = stack.enter_context(standing(programs))
        except NoServer as reason:
            unavailable("PostgreSQL", reason, installable=request.param == "wheel")
        yield both

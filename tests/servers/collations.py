"""Databases that sort by the rules of a language: PostgreSQL with ICU, as Debian builds it."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from tests.servers.missing import unavailable
from tests.servers.postgres import NoServer, PostgresServer, PrivatePostgres, debian_programs
from tests.servers.schema import migrate

LANGUAGES: Final = ("en-US", "th-TH")


@pytest.fixture(scope="session")
def linguistic_server() -> Iterator[PostgresServer]:
    """A server that can sort by ICU, and lives as long as the run."""
    with ExitStack() as stack:
        try:
            private = stack.enter_context(PrivatePostgres(programs=debian_programs()))
        except NoServer as reason:
            unavailable("PostgreSQL with ICU", reason, installable=False)
        server = PostgresServer(private.url)
        stack.callback(server.close)
        yield server


@pytest.fixture(params=LANGUAGES)
def linguistic_database(
    request: pytest.FixtureRequest, linguistic_server: PostgresServer
) -> Iterator[str]:
    """The URL of a database with our tables whose texts are sorted by a language's rules."""
    url = linguistic_server.create_with(
        f"TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE '{request.param}' LOCALE 'C.UTF-8'"
    )
    migrate(url)
    yield url
    linguistic_server.drop(url)

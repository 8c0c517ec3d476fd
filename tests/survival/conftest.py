"""The grounds of the scenarios, and which of them are played when."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers.databases import Databases
from tests.servers.missing import unavailable
from tests.servers.poolers import TRANSACTION, PgBouncer
from tests.servers.postgres import NoServer, PostgresServer, PrivatePostgres, debian_programs
from tests.servers.standbys import Pair, standing
from tests.survival.arena import Arena
from tests.survival.page import RESULTS
from tests.survival.scenarios import POOLER, STANDBY

SCARCE = {"default_pool_size": 4}
"""Fewer sessions than our connections: each waits for its turn, and gets another one each time."""
MakeArena = Callable[..., AbstractContextManager[Arena]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the scenarios of the full run to `./dev survival`."""
    if os.environ.get(RESULTS):
        return
    left = [item for item in items if item.get_closest_marker("survival")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def results() -> Path | None:
    """The folder for the lines of the table; none in a brief run."""
    folder = os.environ.get(RESULTS)
    return Path(folder) if folder else None


@pytest.fixture(scope="session")
def breakable_postgresql() -> Iterator[PostgresServer]:
    """A PostgreSQL that may be crashed: never a given one, which others use."""
    with ExitStack() as stack:
        try:
            private = stack.enter_context(PrivatePostgres(durable=True))
        except NoServer as reason:
            unavailable("PostgreSQL", reason)
        server = PostgresServer(private.url)
        stack.callback(server.close)
        yield server


@contextmanager
def _standing_pair() -> Iterator[Pair]:
    """Start Debian's release where it is there, else that of the wheel: each has its own test."""
    with ExitStack() as stack:
        try:
            pair = stack.enter_context(standing(_debian_programs()))
        except NoServer as reason:
            unavailable("PostgreSQL", reason)
        pair.wait_for_each_other()
        yield pair


def _debian_programs() -> Path | None:
    with suppress(NoServer):
        return debian_programs()
    return None


@pytest.fixture
def make_arena(request: pytest.FixtureRequest, tmp_path: Path) -> MakeArena:
    """Arenas on a new database of a kind."""

    @contextmanager
    def make(database: str, **options: Any) -> Iterator[Arena]:
        if database == STANDBY:
            with (
                _standing_pair() as pair,
                Arena(tmp_path, database=pair.url(), pair=pair, **options) as arena,
            ):
                yield arena
            return
        kinds = {"sqlite": "sqlite_server"}
        server: Databases = request.getfixturevalue(kinds.get(database, "breakable_postgresql"))
        url = server.create()
        try:
            with ExitStack() as stack:
                pooler = None
                if database == POOLER:
                    pooler = stack.enter_context(PgBouncer(url, mode=TRANSACTION, **SCARCE))
                there = url if pooler is None else pooler.url
                yield stack.enter_context(Arena(tmp_path, database=there, pooler=pooler, **options))
        finally:
            server.drop(url)

    return make

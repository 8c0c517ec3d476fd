"""A Redis server and workers of these tests' own, all ended with the test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.celery.parts import RealWorker, RedisServer

StartWorker = Callable[..., RealWorker]


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with RedisServer(folder) as server:
        yield server


@pytest.fixture
def start_worker(redis_server: RedisServer, tmp_path: Path) -> Iterator[StartWorker]:
    with ExitStack() as stack:

        def start(
            name: str = "", *, pool: str = "threads", concurrency: int = 4, before: bool = False
        ) -> RealWorker:
            worker = RealWorker(
                redis_server.url,
                tmp_path / name,
                pool=pool,
                concurrency=concurrency,
                before=before,
            )
            return stack.enter_context(worker)

        yield start

"""The parts of one process are made once, however many threads ask for them first."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from pydantic import SecretStr

from worker.config.settings import GivenSettings
from worker.runtime import Runtime


@pytest.mark.parametrize("part", ["store", "bank", "roster", "policy", "attempt_context"])
def test_eight_threads_that_ask_at_once_get_one_part(tmp_path: Path, part: str) -> None:
    """Python's own cached property takes no lock from 3.12 on."""
    url = SecretStr(f"sqlite:///{tmp_path / 'one.db'}")
    runtime = Runtime(GivenSettings(home=tmp_path, database_url=url))
    together = Barrier(8)

    def ask(_: int) -> object:
        together.wait()
        return getattr(runtime, part)

    with ThreadPoolExecutor(8) as threads:
        parts = list(threads.map(ask, range(8)))
    assert all(each is parts[0] for each in parts)
    runtime.close()

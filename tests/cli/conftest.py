"""Running commands: in this process where that is enough, as real processes where it counts."""

import json
import logging
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.servers.waiting import LIMIT, joined
from tests.servers.workers import COMMAND, PARTNER_ID, SECRET, clean_environment
from worker.cli import main
from worker.store import Store, open_database


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)

    def all(self) -> str:
        return self.out + self.err


Run = Callable[..., Done]


@pytest.fixture(autouse=True)
def _logging_stays() -> Iterator[None]:
    """A command sets up logging for its process, which here is everybody's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def run(settings_env: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, with only these settings."""

    def call(*arguments: str, **settings: Any) -> Done:
        settings_env(**settings)
        capsys.readouterr()
        code = main(arguments)
        _let_hints_end()
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return call


def _let_hints_end() -> None:
    """A hint that nobody waits for any more must not log when this test's output is closed."""
    for thread in threading.enumerate():
        if thread.name == "kplus-hints":
            joined(thread)


@pytest.fixture
def start(tmp_path: Path) -> Run:
    """Run a command as a process of its own, with only these settings."""

    def call(*arguments: str, text: str | None = None, **settings: Any) -> Done:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=clean_environment() | {name: str(value) for name, value in settings.items()},
            input=text,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def partner() -> dict[str, str]:
    """The settings of one partner."""
    return {"KPLUS_PARTNER_ID": PARTNER_ID, "KPLUS_PARTNER_SECRET": SECRET}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of the embedded files in these tests; `db upgrade` makes it."""
    return tmp_path / "home"


@pytest.fixture
def stored(database: str) -> Iterator[Store]:
    """The store behind `database`, by the real time."""
    store = Store(open_database(database))
    yield store
    store.close()

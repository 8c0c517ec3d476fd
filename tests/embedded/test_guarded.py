"""A guarded program ends with its master, and what it must not leave behind is gone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.embedded.conftest import is_alive
from tests.servers.postgres import PostgresServer
from tests.servers.schema import ROOT
from tests.servers.waiting import LIMIT, eventually
from worker.broker.embedded.guarded import Guarded, Order

WAITS = (sys.executable, "-c", "import signal; signal.pause()")

POSTGRES = """
import signal
from tests.servers.postgres import PrivatePostgres
with PrivatePostgres() as server:
    print(server.url.render_as_string(hide_password=False), server.folder, flush=True)
    signal.pause()
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def waiting(log: Path, tmp_path: Path) -> Iterator[Guarded]:
    """A program that would wait for ever, and a file and a folder of its."""
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "deeper").mkdir(parents=True)
    remove = [tmp_path / "file", tmp_path / "folder", tmp_path / "never made"]
    guarded = Guarded(Order(WAITS, remove=remove), log=log)
    yield guarded
    guarded.end()


def test_it_runs_until_it_is_ended(waiting: Guarded, tmp_path: Path) -> None:
    assert waiting.pid is not None
    assert is_alive(waiting.pid)
    assert waiting.running
    assert waiting.end() == 128 + signal.SIGTERM
    assert not is_alive(waiting.pid)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log"]


def test_its_own_end_is_seen(waiting: Guarded, tmp_path: Path) -> None:
    assert waiting.pid is not None
    os.kill(waiting.pid, signal.SIGKILL)
    assert waiting.wait(LIMIT) == 128 + signal.SIGKILL
    assert not waiting.running
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log"]


@pytest.mark.parametrize("code", [0, 3])
def test_its_exit_code_is_told(log: Path, code: int) -> None:
    guarded = Guarded(Order([sys.executable, "-c", f"raise SystemExit({code})"]), log=log)
    assert guarded.wait(LIMIT) == guarded.end() == code


def test_it_reads_what_it_is_given_and_what_it_writes_is_kept(log: Path) -> None:
    order = Order(
        [sys.executable, "-c", "import sys; print(sys.stdin.read()); sys.exit('and an error')"],
        input="many words " * 20_000,
    )
    guarded = Guarded(order, log=log)
    assert guarded.wait(LIMIT) == guarded.end() == 1
    assert log.read_text().split()[-5:] == ["many", "words", "and", "an", "error"]


def test_a_program_that_is_not_there_has_no_process_id(log: Path) -> None:
    guarded = Guarded(Order(["/no/such/program"]), log=log)
    assert guarded.pid is None
    assert guarded.end() == 1
    assert "/no/such/program" in log.read_text()


def test_its_order_shows_neither_input_nor_environment() -> None:
    order = Order(["program"], input="canary", options={"env": {"SECRET": "canary"}})
    assert "canary" not in repr(order)


@pytest.mark.postgres
def test_a_private_postgresql_is_gone_when_the_run_is_killed(
    postgresql_server: PostgresServer,
) -> None:
    """Takes the run's own server only to be skipped where there can be none."""
    run = subprocess.Popen([sys.executable, "-c", POSTGRES], stdout=subprocess.PIPE, cwd=ROOT)
    with run:
        assert run.stdout is not None
        url, folder = run.stdout.readline().decode().split()
        os.kill(run.pid, signal.SIGKILL)
    server = PostgresServer(make_url(url))
    eventually(lambda: not server.answers() and not Path(folder).exists())

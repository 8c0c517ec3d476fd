"""`worker`, `reconcile`, `sandbox` as real processes, and how commands end."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.integration.stock import accept, claimed, execute
from tests.servers.brokers import RedisServer
from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import (
    COMMAND,
    PARTNER_ID,
    SECRET,
    StartWorker,
    clean_environment,
)
from worker.sandbox import Sandbox
from worker.store import Store

ORDER = ("enqueue", "--uid", "U1", "--token", "ok-1", "--reference1", "R1")


def test_a_worker_on_the_embedded_default_makes_what_it_needs_and_cancels(
    start: Run, worker_process: StartWorker, sandbox: Sandbox, home: Path, partner: dict[str, str]
) -> None:
    settings = {**partner, "KPLUS_HOME": str(home), "KPLUS_BANK_URL": sandbox.cancel_url}
    worker = worker_process(settings)
    assert "schema_upgraded" in worker.told()
    assert start(*ORDER, **settings).code == 0
    eventually(
        lambda: start("show", "U1", **settings).json["outcome"] == "cancelled",
        saying=worker.told,
    )
    assert worker.stop() == 0
    assert sandbox.journal.effects() == {"ok-1": 1}
    assert SECRET not in worker.told()


def test_a_worker_leaves_a_configured_database_to_its_owner(
    start: Run, empty_database: str, partner: dict[str, str]
) -> None:
    done = start("worker", **partner, KPLUS_DATABASE_URL=empty_database)
    assert done.code == 4
    assert "no schema yet: run `kplus-cancel db upgrade`" in done.err
    assert "Traceback" not in done.err


def _silence(store: Store) -> None:
    """Let every claim have been made, and its lease have ended, long ago."""
    zone = ".000000" if store.database.is_sqlite else "+00"
    execute(
        store,
        "UPDATE cancel_jobs SET updated_at = :made, lease_ends_at = :ended"
        " WHERE state = 'in_flight'",
        made=f"2026-01-01 00:00:00{zone}",
        ended=f"2026-01-01 00:01:00{zone}",
    )


def test_reconcile_rescues_and_hints_through_the_broker(
    run: Run, database: str, broker_url: str, stored: Store
) -> None:
    accept(stored, "U1", "U2")
    claimed(stored, "U1")
    _silence(stored)
    settings = {"KPLUS_DATABASE_URL": database, "KPLUS_BROKER_URL": broker_url}
    # What is rescued waits a while before it is asked about, however slow this machine is.
    later = dict.fromkeys(("KPLUS_BACKOFF_BASE_SECONDS", "KPLUS_INQUIRY_BASE_SECONDS"), "300")
    done = run("reconcile", "--json", **settings, **later)
    assert done.json == {"rescued": 1, "exhausted": 0, "hinted": 1, "broker_reached": True}
    found = stored.reports.file("U1")
    assert found is not None
    assert found.job["state"] == "in_doubt"


def test_no_worker_starts_on_a_broker_that_throws_messages_away(
    start: Run, database: str, redis_server: RedisServer, stored: Store
) -> None:
    """A message may be the only copy of an order. Keys that expire are another matter."""
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lfu")
    settings = {"KPLUS_DATABASE_URL": database, "KPLUS_BROKER_URL": redis_server.url}
    done = start("worker", **settings)
    assert done.code == 3
    assert "throws messages away when full (allkeys-lfu)" in done.err
    assert "set maxmemory-policy noeviction" in done.err


def test_reconcile_without_a_broker_does_the_rest_and_says_so(
    run: Run, database: str, stored: Store
) -> None:
    accept(stored, "U1", "U2")
    claimed(stored, "U1")
    _silence(stored)
    settings = {"KPLUS_DATABASE_URL": database, "KPLUS_BROKER_URL": "redis://127.0.0.1:1/0"}
    done = run("reconcile", "--json", **settings)
    assert done.code == 0
    assert done.json == {"rescued": 1, "exhausted": 0, "hinted": 0, "broker_reached": False}
    found = stored.reports.file("U2")
    assert found is not None
    assert found.job["hinted_at"] is None
    assert "no broker answers" in run("reconcile", "--table", **settings).out


class Program:
    """A command that runs until it is told to end."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=folder,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def end(self, number: signal.Signals) -> tuple[int, str]:
        self._process.send_signal(number)
        _, err = self._process.communicate(timeout=LIMIT)
        return self._process.returncode, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_the_sandbox_tells_its_address_and_ends_in_order(
    tmp_path: Path, number: signal.Signals
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    given = ("--partner-id", PARTNER_ID, "--secret-file", str(secret))
    program = Program("sandbox", "--port", "0", *given, folder=tmp_path)
    url = program.line().split()[-1]
    with urllib.request.urlopen(f"{url}/healthz", timeout=LIMIT) as answer:  # noqa: S310 - ours
        assert json.load(answer) == {"status": "ok", "mode": "ok"}
    assert program.end(number) == (0, "")


def test_a_port_that_is_taken_is_named(start: Run, sandbox: Sandbox) -> None:
    done = start("sandbox", "--port", str(sandbox.port))
    assert done.code == 4
    assert f"port {sandbox.port}" in done.err
    assert "another --port" in done.err


def test_the_scenarios_are_listed(run: Run) -> None:
    done = run("sandbox", "--scenarios")
    assert done.code == 0
    assert "general_error" in done.out


def test_a_broken_pipe_is_quiet(run: Run, home: Path, tmp_path: Path) -> None:
    assert run("db", "upgrade").code == 0
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*COMMAND, "stats"],
            cwd=tmp_path,
            env=clean_environment() | {"KPLUS_HOME": str(home)},
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=LIMIT,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


LISTENING = (
    "import os, signal, sys;"
    "signal.signal(signal.SIGINT, signal.SIG_DFL);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""A run of these tests in the background ignores SIGINT, and so would every child of it."""


def test_ctrl_c_ends_a_command_with_130_and_without_a_word(tmp_path: Path) -> None:
    """A database that accepts a connection and says nothing keeps `doctor` waiting."""
    with Sandbox() as silent:
        url = f"postgresql://u@127.0.0.1:{silent.port}/d?connect_timeout=30"
        environment = clean_environment() | {"KPLUS_DATABASE_URL": url}
        with subprocess.Popen(
            [sys.executable, "-c", LISTENING, *COMMAND, "stats"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            eventually(lambda: _connected(process.pid))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err


def _connected(pid: int) -> bool:
    """Say whether a process has a socket."""
    return any(map(_is_socket, Path(f"/proc/{pid}/fd").iterdir()))


def _is_socket(descriptor: Path) -> bool:
    try:
        return "socket:" in str(descriptor.readlink())
    except FileNotFoundError:  # closed since it was listed
        return False


def test_start_up_of_a_reading_command_loads_no_more_than_it_needs(
    run: Run, home: Path, tmp_path: Path, start: Run
) -> None:
    assert run("db", "upgrade").code == 0
    code = (
        "import sys; from worker.cli import main; main(['list', '--json']); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", code],
        cwd=tmp_path,
        env=clean_environment() | {"KPLUS_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    unwanted = {"celery", "kombu", "redis", "alembic", "rich", "structlog", "httpx"}
    assert loaded & unwanted == set()
    assert "sqlalchemy" in loaded


def test_the_help_loads_next_to_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from worker.cli import main; main(['--help']); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", code],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded & {"celery", "sqlalchemy", "pydantic", "alembic", "rich", "structlog"} == set()
    assert done.stdout.index("demo") < done.stdout.index("worker ") < done.stdout.index("rejected")


def test_a_bare_command_is_the_help(run: Run) -> None:
    bare, asked = run(), run("--help")
    assert (bare.code, asked.code) == (0, 0)
    assert bare.out == asked.out
    assert "Start here" in bare.out


def test_shells_complete_commands_and_states(tmp_path: Path) -> None:
    def completed(words: str, position: int) -> str:
        environment = clean_environment() | {
            "_KPLUS_CANCEL_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(position),
        }
        done = subprocess.run(
            COMMAND, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0
        return done.stdout

    assert "plain,stats" in completed("kplus-cancel st", 1)
    assert "plain,in_doubt" in completed("kplus-cancel list --state in", 3)

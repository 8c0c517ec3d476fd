"""`./dev bench peers`: what it compares, what it installs, and how it counts."""

import ast
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.peers import environment, libraries, measure
from benchmarks.peers.contenders import Contender
from benchmarks.peers.job.statements import CLAIM, SETTLE
from benchmarks.peers.job.tables import INSERT, TABLES
from benchmarks.peers.table import table
from benchmarks.processes import Process, kill, tree, tree_seconds
from tests.servers.waiting import eventually
from tools import pins, requirements
from tools.tree import ROOT

FOLDER = ROOT / "benchmarks" / "peers"
PROGRAMS = sorted((FOLDER / "programs").glob("on_*.py"))
COMPARED = {"Dramatiq", "Taskiq", "PgQueuer", "Procrastinate", "DBOS"}


def pinned() -> dict[str, pins.Pin]:
    """Return what is installed for the peers."""
    found, others = pins.read(environment.PINNED.read_text())
    assert others == []
    return found


def asked_for() -> list[Requirement]:
    """Return what the list asks for before it is pinned."""
    lines = requirements.PEERS.read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def imported(path: Path) -> set[str]:
    """Return the top-level names that a program imports from outside of the project."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"benchmarks"}


def contender(name: str) -> Contender:
    """Return one whose turns are over."""
    over = Contender(name, "", 0, lambda _: None, lambda _: 0.0, None)
    over.cpu, over.database_cpu, over.pace = [2.0, 4.0, 3.0], [1.0, 1.0, 1.0], [76.0, 75.0, 77.0]
    return over


def test_every_library_has_its_program() -> None:
    assert [f"on_{path.stem[3:]}" for path in PROGRAMS] == sorted(
        library.program for library in libraries.LIBRARIES
    )


def test_our_cost_is_held_against_every_library_that_is_no_plain_celery() -> None:
    compared = {library.name for library in libraries.LIBRARIES if not library.is_celery}
    assert compared == COMPARED


def test_the_table_has_a_whole_line_for_each_contender() -> None:
    everybody = [contender(name) for name in libraries.LACKS]
    head, _, *lines = table(everybody, everybody, measure.LATENCY).splitlines()
    assert len(lines) == len(libraries.LIBRARIES) + 3
    for line, name in zip(lines, libraries.LACKS, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == len(head.strip("|").split("|"))
        assert all(cells)
        assert cells[0].startswith(name)
        assert cells[1:6] == ["3.00", "**1.00** (1.00 to 1.00)", "1.00", "76", "76.0, 95%"]


@pytest.mark.parametrize("library", libraries.LIBRARIES, ids=lambda each: each.program)
def test_a_line_names_the_exact_version(library: libraries.Library) -> None:
    every = [contender(name) for name in libraries.LACKS]
    (line,) = (
        each
        for each in table(every, every, measure.LATENCY).splitlines()
        if each.startswith(f"| {library.name} ")
    )
    pin = pinned()[library.packages[0]]
    assert f"({library.packages[0]} {pin.version}" in line


def test_what_is_installed_is_pinned_by_hash_and_names_no_place() -> None:
    text = environment.PINNED.read_text()
    assert not pins.PLACE.search(text)
    for name, pin in pinned().items():
        assert pin.version, name
        assert any(each.startswith("sha256:") for each in pin.hashes), name


def test_what_is_asked_for_is_pinned() -> None:
    for wanted in asked_for():
        assert pinned()[canonicalize_name(wanted.name)].satisfies(wanted), wanted


def test_what_we_use_as_well_has_our_version() -> None:
    """Otherwise it is another client or driver that is compared."""
    ours, _ = pins.read(requirements.file("development").read_text())
    shared = pinned().keys() & ours.keys()
    assert {"celery", "httpx", "psycopg", "redis", "sqlalchemy"} <= shared
    assert {name: pinned()[name].version for name in shared} == {
        name: ours[name].version for name in shared
    }


@pytest.mark.parametrize(
    "path", [*PROGRAMS, *sorted((FOLDER / "job").glob("*.py"))], ids=lambda path: path.stem
)
def test_what_a_program_imports_is_asked_for(path: Path) -> None:
    names = {each.name for each in asked_for()}
    # psycopg's extra `pool` is the package psycopg-pool.
    names |= {f"{each.name}-{extra}" for each in asked_for() for extra in each.extras}
    assert set(map(canonicalize_name, imported(path))) <= names


def test_uv_is_asked_for_our_versions_and_for_no_place() -> None:
    words = requirements.peers_command("uv", upgrade=False)
    assert {"--generate-hashes", "--universal", "--no-emit-index-url", "--no-config"} < set(words)
    assert str(requirements.file("development")) in words
    assert "--upgrade" in requirements.peers_command("uv", upgrade=True)


def test_its_environment_is_made_when_it_is_named(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def ready(scope: str) -> Path:
        made.append(scope)
        return Path(sys.executable)

    monkeypatch.setattr(dev, "ready", ready)
    monkeypatch.setattr(os, "execvpe", lambda *_: None)
    monkeypatch.chdir(ROOT)
    dev.main(["bench", "peers", "--repeat", "1"])
    assert made == ["peers", "all"]
    dev.main(["bench"])
    assert made == ["peers", "all", "all"]


def test_it_lies_beside_ours_and_the_project_is_not_in_it(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fetched: list[list[str]] = []
    monkeypatch.setenv("KPLUS_VENV", str(tmp_path / "ours"))
    monkeypatch.setattr(dev, "make_environment", Path.mkdir)
    monkeypatch.setattr(dev, "fetch", lambda _folder, _python, what: fetched.append(what))
    assert dev.ready("peers") == tmp_path / "ours-peers" / "bin" / "python"
    assert fetched == [["--require-hashes", "-r", str(environment.PINNED)]]
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "ours"))
    assert environment.folder() == tmp_path / "ours-peers"


def test_without_a_network_it_says_what_it_could_not_do(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_scope: str) -> None:
        raise dev.Trouble("no network")

    monkeypatch.setattr(dev, "ready", fails)
    assert dev.main(["bench", "peers"]) == 1
    said = capsys.readouterr().err
    assert said == "dev: the other libraries could not be installed: no network\n"


def test_without_the_environment_the_way_to_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "ours"))
    with pytest.raises(environment.NoEnvironment, match="bench peers` installs them"):
        environment.python()


def test_a_process_is_read_whatever_its_name() -> None:
    before = "7 (a) b (c)) S 3 7 7 0 -1 4194304 100 0 0 0"
    assert Process.read(f"{before} 100 50 20 30 20 0 1") == Process(
        7, 3, 200 / os.sysconf("SC_CLK_TCK")
    )


def test_the_time_of_what_a_program_started_is_its_own() -> None:
    """Of what still runs, and of what has ended: a database's backends, a worker's processes."""
    busy = "import time\nwhile time.process_time() < 0.1: pass\nprint('done', flush=True)"
    code = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {busy!r}], check=True)\n"
        f"subprocess.run([sys.executable, '-c', {busy + '; input()'!r}], check=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert [program.stdout.readline() for _ in range(2)] == ["done\n"] * 2
        started = tree(program.pid)
        assert len(started) == 2
        assert tree_seconds(program.pid) >= 0.15
        kill(started)
    eventually(lambda: not tree(program.pid))


def test_the_bank_counts_what_it_is_asked() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stub", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as stub:
        assert stub.stdout is not None
        url = f"http://127.0.0.1:{int(stub.stdout.readline())}/"

        def ask(**body: str) -> dict[str, object]:
            with urllib.request.urlopen(url, json.dumps(body).encode()) as answer:
                told: dict[str, object] = json.load(answer)
            return told

        order = {"partnerId": "p", "tokenId": "t", "reference1": "r"}
        for uid in ("P1x1", "P1x2", "P1x2", "P2x1"):
            assert ask(partnerTxnUid=uid, **order)["statusCode"] == "00"
        assert ask(counted="P1") == {"uids": 2, "posts": 3}
        stub.terminate()


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_job_of_the_peers_is_claimed_and_settled_once(empty_database: str) -> None:
    order = {"partnerTxnUid": "u", "partnerId": "p", "tokenId": "t", "reference1": "r"}
    answer = {"http_status": 200, "status_code": "00", "token_id": "t", "token_status": "CANCELLED"}
    url = empty_database.replace("postgresql+psycopg:", "postgresql:", 1)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
        connection.execute(INSERT, {"orders": json.dumps([order])})
        claims = [
            connection.execute(CLAIM, {"uid": "u", "lease_id": lease}).fetchone()
            for lease in ("first", "second")
        ]
        assert claims == [("p", "t", "r"), None]
        for lease in ("second", "first", "first"):
            settled = {"uid": "u", "lease_id": lease, "started_at": "2026-01-01T00:00Z", **answer}
            connection.execute(SETTLE, settled)
        jobs = connection.execute("SELECT state, attempts, token_status FROM cancel_jobs")
        assert jobs.fetchall() == [("succeeded", 1, "CANCELLED")]
        for evidence in ("cancel_attempts", "token_statuses"):
            counted = connection.execute(f"SELECT count(*) FROM {evidence}")  # noqa: S608 - ours
            assert counted.fetchone() == (1,)

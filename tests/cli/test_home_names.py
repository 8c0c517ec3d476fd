"""KPLUS_HOME may have any name: it means one folder to everything that uses it."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.cli.conftest import Run
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, SECRET, StartWorker
from worker.config.settings import GivenSettings
from worker.config.sqlite_file import sqlite_file, sqlite_url
from worker.process.heartbeat import read_heartbeats
from worker.sandbox import Sandbox

NAMES = ("a%20b", "a b", "a?b=c", "a#b", "a%b", "ไทย", "a'b\"c", "a+b;c&d", "%25%3F")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_has_one_url_and_that_url_one_file(tmp_path: Path, name: str) -> None:
    for path in (tmp_path / name / "x.db", Path(name) / f"{name}.db"):
        assert make_url(sqlite_url(path)).database == str(path)
        assert not make_url(sqlite_url(path)).query
        assert sqlite_file(sqlite_url(path)) == path
    assert sqlite_file(GivenSettings(home=tmp_path / name).database) == (
        tmp_path / name / "kplus-cancel.db"
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_command_uses_the_one_folder(run: Run, tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    settings = {"KPLUS_HOME": str(home), "KPLUS_PARTNER_ID": PARTNER_ID}
    assert run("db", "check", **settings).code != 0
    assert list(tmp_path.iterdir()) == []
    assert run("db", "upgrade", **settings).code == 0
    assert (home / "kplus-cancel.db").stat().st_size > 0
    assert run("db", "check", **settings).code == 0
    order = ("--uid", "U1", "--token", "T1", "--reference1", "R1")
    assert run("enqueue", *order, **settings).code == 0
    assert run("show", "U1", "--json", **settings).json["partner_txn_uid"] == "U1"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.broker
@pytest.mark.parametrize("name", ["a%20b", "a?b#c", "ไทย d"])
def test_a_worker_with_the_embedded_broker_lives_there_too(
    run: Run, worker_process: StartWorker, sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    home = tmp_path / "homes" / name
    home.parent.mkdir()
    settings = {
        "KPLUS_HOME": str(home),
        "KPLUS_BANK_URL": sandbox.cancel_url,
        "KPLUS_PARTNER_ID": PARTNER_ID,
        "KPLUS_PARTNER_SECRET": SECRET,
    }
    assert run("db", "upgrade", **settings).code == 0
    worker = worker_process(settings)
    eventually(lambda: read_heartbeats(home))
    order = ("--uid", "U1", "--token", "ok-1", "--reference1", "R1")
    assert run("enqueue", *order, **settings).code == 0
    show = ("show", "U1", "--json")
    eventually(lambda: run(*show, **settings).json["state"] == "succeeded")
    assert worker.stop() == 0
    assert [path.name for path in home.parent.iterdir()] == [name]

"""The `alembic` command in a checkout: it says what it does, and why it cannot."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.schema import ROOT
from tests.servers.waiting import LIMIT
from tests.servers.workers import clean_environment
from worker.store.schema.migrate import revisions

PASSWORD = "canary-cGFzc3dvcmQtb2YtdGhlLWRhdGFiYXNl"


def alembic(
    folder: Path, *arguments: str, database_url: str, **settings: str
) -> "subprocess.CompletedProcess[str]":
    """Run Alembic as its users do."""
    return subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(ROOT / "alembic.ini"), *arguments],
        cwd=folder,
        env=clean_environment() | {"KPLUS_DATABASE_URL": database_url} | settings,
        text=True,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )


def test_an_upgrade_names_each_migration(tmp_path: Path) -> None:
    ended = alembic(tmp_path, "upgrade", "head", database_url=f"sqlite:///{tmp_path / 'jobs.db'}")
    assert ended.returncode == 0, ended.stderr
    steps = [line for line in ended.stderr.splitlines() if line.startswith("Running upgrade")]
    assert len(steps) == len(revisions())
    assert f"-> {revisions()[-1]}, " in steps[-1]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "KPLUS_DATABASE_URL must be an SQLAlchemy URL"),
        (f"postgresql+psycopg://user:{PASSWORD}@127.0.0.1:1/jobs", "Connection refused"),
        ("postgresql+psycopg2://user@127.0.0.1:1/jobs", "write postgresql+psycopg://"),
        ("sqlite:////proc/nowhere/jobs.db", "cannot be made"),
    ],
)
def test_a_bad_url_is_one_line(tmp_path: Path, url: str, reason: str) -> None:
    ended = alembic(tmp_path, "upgrade", "head", database_url=url)
    assert ended.returncode != 0
    lines = (ended.stdout + ended.stderr).splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("FAILED: ")
    assert reason in lines[0]
    assert PASSWORD not in lines[0]

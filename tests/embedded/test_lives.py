"""The broker lives as long as one of its users, however they end."""

import os
import signal
from pathlib import Path

import redis

from tests.embedded.conftest import LINUX, Ensure, StartChild, guard_of, is_alive
from tests.servers.waiting import eventually
from worker.broker.embedded import known_url
from worker.broker.embedded.server import ServerAddress

FORK = """
import os
child = os.fork()
if child == 0:
    signal.pause()
print(json.dumps(child), flush=True)
"""


def test_it_is_gone_when_the_process_that_runs_it_is_killed(
    home: Path, start_child: StartChild
) -> None:
    child = start_child()
    server = child.says()["server"]
    assert is_alive(server)
    child.kill()
    eventually(lambda: not is_alive(server))
    eventually(lambda: known_url(home) is None)


def test_it_is_gone_when_the_process_ends_without_a_word(start_child: StartChild) -> None:
    child = start_child(more="sys.exit()")
    server = child.says()["server"]
    eventually(lambda: not is_alive(server))


def test_it_is_gone_although_a_forked_child_lives_on(start_child: StartChild) -> None:
    """The pools of Celery fork: no child may keep the guard waiting."""
    child = start_child(more=FORK)
    server, forked = child.says()["server"], child.says()
    try:
        child.kill()
        eventually(lambda: not is_alive(server))
        assert is_alive(forked)
    finally:
        os.kill(forked, signal.SIGKILL)


def test_the_end_of_a_forked_child_is_not_its_end(start_child: StartChild) -> None:
    child = start_child(
        more="import os\nif os.fork() == 0: broker.renew(); broker.stop(); exit()\n"
        "os.wait(); print(json.dumps(broker.owned), flush=True)"
    )
    server = child.says()["server"]
    assert child.says() is True
    assert is_alive(server)


def test_two_processes_share_one(start_child: StartChild, ensured: Ensure) -> None:
    theirs = start_child().says()
    ours = ensured()
    assert theirs["owned"] is True
    assert ours.owned is False
    assert ours.pid is None
    assert ours.url == theirs["url"]


def test_of_many_that_start_at_once_one_runs_it(start_child: StartChild) -> None:
    told = [child.says() for child in [start_child() for _ in range(5)]]
    assert sorted(each["owned"] for each in told) == [False] * 4 + [True]
    assert len({each["url"] for each in told}) == 1


def test_a_user_that_stops_leaves_it_to_the_others(
    start_child: StartChild, ensured: Ensure
) -> None:
    server = start_child().says()["server"]
    ensured().stop()
    assert is_alive(server)


def test_another_takes_over_at_the_same_url(
    home: Path, start_child: StartChild, ensured: Ensure
) -> None:
    child = start_child()
    child.says()
    broker = ensured()
    url = broker.url
    with redis.Redis.from_url(url) as client:
        client.ping()
        child.kill()
        eventually(lambda: broker.renew() and broker.owned)
        assert broker.url == known_url(home) == url
        # The very client that was connected to the former one.
        assert eventually(client.ping) is True


def test_another_takes_over_from_one_that_stopped(start_child: StartChild, ensured: Ensure) -> None:
    child = start_child(more="broker.stop()\nprint(json.dumps(broker.owned), flush=True)")
    url = child.says()["url"]
    broker = ensured()
    assert child.says() is False
    eventually(lambda: broker.renew() and broker.owned)
    assert broker.url == url


def test_one_that_was_stopped_does_not_come_back(ensured: Ensure) -> None:
    """The sweep may make one more pass while its worker stops."""
    broker = ensured()
    broker.stop()
    assert broker.renew() is False
    assert broker.owned is False


def test_a_server_that_was_killed_is_started_again(ensured: Ensure) -> None:
    broker = ensured()
    url, first = broker.url, broker.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not broker.owned)
    assert broker.renew() is True
    assert broker.url == url
    assert broker.pid not in {None, first}


@LINUX
def test_a_server_ends_with_its_guard_and_is_replaced(ensured: Ensure) -> None:
    """It would outlive everybody."""
    broker = ensured()
    url, first = broker.url, broker.pid
    assert first is not None
    os.kill(guard_of(first), signal.SIGKILL)
    eventually(lambda: not broker.owned)
    eventually(lambda: not is_alive(first))
    eventually(lambda: broker.renew() and broker.owned)
    assert broker.url == url


def test_a_server_that_does_not_move_is_ended_all_the_same(ensured: Ensure) -> None:
    broker = ensured()
    server = broker.pid
    assert server is not None
    os.kill(server, signal.SIGSTOP)
    broker.stop()
    assert not is_alive(server)


def test_a_user_learns_where_the_broker_moved(
    home: Path, start_child: StartChild, ensured: Ensure
) -> None:
    start_child().says()
    broker = ensured()
    (home / "broker.url").write_text(moved := ServerAddress.choose().url)
    assert broker.renew() is True
    assert broker.url == moved

"""A stop: calls under way end, nothing new begins, and what a harder end leaves is rescued."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from celery import Celery
from sqlalchemy import make_url

from tests.e2e.producers import UNHURRIED, end_leases, hand_over, order, send
from tests.servers.brokers import RedisServer
from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import CELERY, COMMAND, StartWorker, WorkerProcess
from tests.survival.proxy import HOST, Proxy
from worker.sandbox import Sandbox
from worker.store import Store

PATIENT = UNHURRIED | {"KPLUS_CONCURRENCY": "2"}
HASTY = PATIENT | {"KPLUS_DEADLINE_SECONDS": "9", "KPLUS_LEASE_SECONDS": "10"}
"""A worker whose lease can be waited for."""

TERM, INT, QUIT, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL
HUP = signal.SIGHUP
WAITING = 40

GROUNDS = pytest.mark.parametrize(
    ("database_kind", "pool", "command"),
    [
        ("sqlite", "threads", COMMAND),
        pytest.param("postgresql", "prefork", COMMAND, marks=pytest.mark.postgres),
        ("sqlite", "threads", CELERY),
        pytest.param("postgresql", "prefork", CELERY, marks=pytest.mark.postgres),
    ],
    indirect=["database_kind"],
    ids=["threads", "prefork", "celery-threads", "celery-prefork"],
)


def _family(worker: WorkerProcess) -> list[int]:
    """Return the process ids of a worker and, with prefork, its children."""
    parent = worker.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    return [parent, *map(int, children.split())]


def _alive(pids: Sequence[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists() and _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def ask(worker: WorkerProcess, number: signal.Signals = TERM) -> None:
    """Send a first signal; return when its handler has run."""
    worker.signal(number)
    worker.wait_until(lambda: "worker_stopping" in worker.told())


def held(broker_url: str, sandbox: Sandbox, tokens: Sequence[str]) -> None:
    """Put a job into flight for each token, and let the bank sit on them."""
    before = len(sandbox.journal)
    # From this process: one that has to start first, and to end, would take of the calls' time.
    client = Celery(broker=broker_url, set_as_current=False)
    for number, token in enumerate(tokens):
        hand_over(client, order(f"HELD{number}", token))
    client.close()
    assert sandbox.journal.wait_for_posts(before + len(tokens), timeout=LIMIT)


def proved(broker_url: str, store: Store) -> None:
    """Let the partner prove itself: until then one call goes first, and the others wait."""
    send(broker_url, [order("FIRST", "ok-first")])
    eventually(lambda: store.reports.stats().states["succeeded"] == 1)


@GROUNDS
def test_a_stop_ends_the_calls_under_way_and_begins_no_other(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
    pool: str,
    command: Sequence[str],
) -> None:
    """Every slot is held by the bank, and many jobs wait: in the queue, and for the sweep."""
    first = worker_process(worker_env | PATIENT, "--pool", pool, command=command)
    proved(broker_url, store)
    tokens = ["hold-1", "holdbefore-2"]
    held(broker_url, sandbox, tokens)
    send(broker_url, [order(f"WAIT{number:02}", f"ok-{number}") for number in range(WAITING)])
    ask(first)
    for token in tokens:
        sandbox.release(token)
    assert first.wait() == 0
    assert len(sandbox.journal) == 1 + len(tokens)
    assert store.reports.stats().states["succeeded"] == 1 + len(tokens)
    for number in range(len(tokens)):
        file = store.reports.file(f"HELD{number}")
        assert file is not None
        assert [attempt["heard"] for attempt in file.attempts] == ["cancelled"]
    worker_process(worker_env | PATIENT, "--pool", pool, command=command)
    everything = 1 + len(tokens) + WAITING
    eventually(lambda: store.reports.stats().states["succeeded"] == everything)
    assert set(sandbox.journal.posts_per_uid().values()) == {1}
    assert sandbox.journal.overlaps() == []


@GROUNDS
def test_a_terminal_that_closes_stops_a_worker_in_order(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
    pool: str,
    command: Sequence[str],
) -> None:
    """SIGHUP, which all of its processes get, and often twice. It is not started anew by itself."""
    worker = worker_process(worker_env | PATIENT, "--pool", pool, command=command)
    proved(broker_url, store)
    held(broker_url, sandbox, ["hold-1", "holdbefore-2"])
    family = _family(worker)
    for number in reversed(family):
        os.kill(number, HUP)
    worker.wait_until(lambda: "worker_stopping" in worker.told())
    for number in reversed(_alive(family)):
        os.kill(number, HUP)
    for token in "hold-1", "holdbefore-2":
        sandbox.release(token)
    assert worker.wait() == 0
    assert _alive(family) == []
    assert worker.told().count("worker_starts") == 1
    assert store.reports.stats().states["succeeded"] == 3
    assert set(sandbox.journal.posts_per_uid().values()) == {1}


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("ways", "command"),
    [((INT, INT), COMMAND), ((QUIT,), COMMAND), ((TERM, TERM), CELERY), ((QUIT,), CELERY)],
)
def test_whoever_will_not_wait_ends_a_worker_at_once(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
    ways: Sequence[signal.Signals],
    command: Sequence[str],
) -> None:
    worker = worker_process(worker_env | PATIENT, command=command)
    held(broker_url, sandbox, ["hold-1"])
    *first, last = ways
    for number in first:
        ask(worker, number)
    worker.signal(last)
    assert worker.wait() == 128 + last
    file = store.reports.file("HELD0")
    assert file is not None
    assert file.job["state"] == "in_flight"
    assert not file.attempts


@GROUNDS
def test_what_a_harder_end_leaves_in_flight_is_rescued(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
    pool: str,
    command: Sequence[str],
) -> None:
    """The bank had acted on one job and not on the other: neither is guessed."""
    worker = worker_process(worker_env | PATIENT, "--pool", pool, command=command)
    proved(broker_url, store)
    tokens = ["hold-1", "holdbefore-2"]
    held(broker_url, sandbox, tokens)
    family = _family(worker)
    ask(worker)
    # A second SIGTERM, or what a supervisor does when its patience ends.
    last = TERM if pool == "prefork" else KILL
    worker.signal(last)
    assert worker.wait() == 128 + last
    eventually(lambda: not _alive(family))
    for token in tokens:
        sandbox.release(token)
    end_leases(sandbox, store)
    worker_process(worker_env | PATIENT, "--pool", pool, command=command)
    eventually(lambda: store.reports.stats().states["succeeded"] == 3)
    for number in range(len(tokens)):
        file = store.reports.file(f"HELD{number}")
        assert file is not None
        assert [attempt["heard"] for attempt in file.attempts] == ["lease_ended", "cancelled"]
    assert sandbox.journal.posts_per_uid() == {"FIRST": 1, "HELD0": 2, "HELD1": 2}
    assert sandbox.journal.overlaps() == []


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_stop_does_not_outlast_the_lease_where_the_database_is_away(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
) -> None:
    """The outcome cannot be written: whoever looks next finds the lease ended."""
    real = make_url(worker_env["KPLUS_DATABASE_URL"])
    assert real.port is not None
    with Proxy(real.port) as line:
        through = real.set(host=HOST, port=line.port).render_as_string(hide_password=False)
        worker = worker_process(worker_env | HASTY | {"KPLUS_DATABASE_URL": through})
        held(broker_url, sandbox, ["hold-1"])
        line.down()
        ask(worker)
        sandbox.release("hold-1")
        assert worker.wait() == 0
    file = store.reports.file("HELD0")
    assert file is not None
    assert file.job["state"] == "in_flight"


@pytest.fixture
def lonely_env(worker_env: dict[str, str], redis_server: RedisServer) -> dict[str, str]:
    """The settings of a worker whose broker may be broken."""
    return worker_env | PATIENT | {"KPLUS_BROKER_URL": redis_server.url}


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_stop_does_not_wait_for_a_broker_that_is_away(
    lonely_env: dict[str, str],
    worker_process: StartWorker,
    redis_server: RedisServer,
    sandbox: Sandbox,
    store: Store,
) -> None:
    """The call under way ends, and its outcome is written."""
    worker = worker_process(lonely_env)
    held(redis_server.url, sandbox, ["hold-1"])
    redis_server.stop()
    ask(worker)
    sandbox.release("hold-1")
    assert worker.wait() == 0
    assert store.reports.stats().outcomes["cancelled"] == 1

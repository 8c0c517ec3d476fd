"""A worker that lives and moves nothing: it says so, ends itself, and the next one goes on."""

import os
import signal
import threading
from pathlib import Path

import pytest

from tests.e2e.producers import order, send
from tests.servers.brokers import RedisServer
from tests.servers.health import Health
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, SECRET, StartWorker
from worker.doctor.finding import Finding
from worker.process.heartbeat import read_heartbeats
from worker.process.watchdog import EXIT_CODE
from worker.store import Store

# Room for a slow machine, and short for whoever waits for a stall.
HASTE = {"KPLUS_DEADLINE_SECONDS": "2", "KPLUS_LEASE_SECONDS": "4", "KPLUS_STALL_SECONDS": "8"}
STALLED = '"worker_stalled"'

pytestmark = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


def partners_file(path: Path, bank_url: str) -> Path:
    path.write_text(f'[partners.{PARTNER_ID}]\nsecret = "{SECRET}"\nbank_url = "{bank_url}"\n')
    return path


def _bad(found: list[Finding]) -> list[Finding]:
    return [each for each in found if not each.ok]


def test_a_worker_whose_sweep_hangs_ends_itself_and_the_next_goes_on(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    store: Store,
    health: Health,
    tmp_path: Path,
) -> None:
    """As on a network drive that is gone: the file is opened, and that never returns."""
    file = partners_file(tmp_path / "partners.toml", worker_env["KPLUS_BANK_URL"])
    for name in ("KPLUS_PARTNER_ID", "KPLUS_PARTNER_SECRET"):
        del worker_env[name]
    environment = worker_env | HASTE | {"KPLUS_PARTNERS_FILE": str(file)}
    home = Path(environment["KPLUS_HOME"])
    first = worker_process(environment, "--pool=prefork")
    eventually(lambda: [beat.pid for beat in read_heartbeats(home)] == [first.pid])
    assert read_heartbeats(home)[0].stalled is None

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pipe.replace(file)
    (found,) = eventually(lambda: _bad(health(environment)), saying=first.told)
    assert "does not move: no pass of the sweep has ended" in found.text
    assert first.wait() == EXIT_CODE
    assert STALLED in first.told()
    assert "no pass of the sweep has ended" in first.told()
    where_threads_stand = {"kplus-sweep", "config/reload.py"}
    assert any(place in first.told() for place in where_threads_stand)
    assert SECRET not in first.told()
    assert read_heartbeats(home) == []

    partners_file(tmp_path / "mended.toml", worker_env["KPLUS_BANK_URL"]).replace(file)
    second = worker_process(environment)
    send(broker_url, [order("UID1", "ok-1")])
    eventually(lambda: store.reports.stats().states["succeeded"] == 1)
    assert second.stop() == 0
    assert "none runs here" in health(environment)[0].text


def test_a_worker_that_no_message_reaches_ends_itself(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    redis_server: RedisServer,
    store: Store,
) -> None:
    """Its hints go out, the queue fills, and what should come back does not."""
    environment = worker_env | HASTE | {"KPLUS_BROKER_URL": redis_server.url}
    worker = worker_process(environment)
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-brpop")
        send(redis_server.url, [order("UID1", "ok-1")])
        assert worker.wait() == EXIT_CODE
        assert STALLED in worker.told()
        assert "messages wait, and none has come here" in worker.told()
        client.execute_command("ACL", "SETUSER", "default", "+brpop")
    worker_process(environment)
    eventually(lambda: store.reports.stats().states["succeeded"] == 1)


def test_a_worker_that_slept_is_no_stalled_one(
    worker_env: dict[str, str], worker_process: StartWorker, broker_url: str, store: Store
) -> None:
    """Its machine was suspended; awake again, it goes on as if nothing had been."""
    environment = worker_env | HASTE
    worker = worker_process(environment)
    home = Path(environment["KPLUS_HOME"])
    eventually(lambda: read_heartbeats(home))
    worker.signal(signal.SIGSTOP)
    eventually(lambda: read_heartbeats(home)[0].age > float(HASTE["KPLUS_STALL_SECONDS"]))
    worker.signal(signal.SIGCONT)
    send(broker_url, [order("UID1", "ok-1")])
    eventually(lambda: store.reports.stats().states["succeeded"] == 1)
    assert STALLED not in worker.told()
    assert worker.stop() == 0


def test_an_idle_worker_has_not_stalled(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    store: Store,
    health: Health,
) -> None:
    """Nothing to do for longer than a stall may last, then a job."""
    environment = worker_env | HASTE
    worker = worker_process(environment)
    # Not a wait for something to happen: that nothing does for so long is the point.
    threading.Event().wait(float(HASTE["KPLUS_STALL_SECONDS"]) + 1)
    assert [found.text for found in health(environment)] == ["moves"]
    send(broker_url, [order("UID1", "ok-1")])
    eventually(lambda: store.reports.stats().states["succeeded"] == 1)
    assert worker.stop() == 0

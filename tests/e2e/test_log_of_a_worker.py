"""What a worker says of its own life: every line is an event, and none is missing."""

import json
import os
import signal
from collections.abc import Sequence
from typing import Any

import pytest

from tests.e2e.producers import QUICK, UNHURRIED, order, send
from tests.e2e.test_stop import held
from tests.servers.waiting import eventually
from tests.servers.workers import CELERY, COMMAND, StartWorker, WorkerProcess
from worker.sandbox import Sandbox
from worker.store import Store

TERM, INT, QUIT = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT
WAYS = [
    (TERM, 0, "threads", COMMAND),
    (TERM, 0, "threads", CELERY),
    (TERM, 0, "prefork", COMMAND),
    (TERM, 0, "prefork", CELERY),
    (INT, 1, "threads", COMMAND),
]
sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


def lines(worker: WorkerProcess) -> list[dict[str, Any]]:
    """Return every line that was written, to either stream; fail at one that is no event."""
    found = []
    for line in worker.told().splitlines():
        event = json.loads(line)
        assert {"event", "level", "logger", "timestamp"} <= event.keys(), line
        found.append(event)
    return found


def named(worker: WorkerProcess, event: str) -> dict[str, Any]:
    """Return the one event of this name."""
    (found,) = [line for line in lines(worker) if line["event"] == event]
    return found


@sqlite
@pytest.mark.parametrize(("number", "code", "pool", "command"), WAYS)
def test_a_worker_says_that_it_stops_and_why_and_what_it_gave_back(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    number: signal.Signals,
    code: int,
    pool: str,
    command: Sequence[str],
) -> None:
    environment = worker_env | UNHURRIED | {"KPLUS_CONCURRENCY": "2"}
    worker = worker_process(environment, "--pool", pool, command=command)
    held(broker_url, sandbox, ["hold-1"])
    worker.signal(number)
    worker.wait_until(lambda: "worker_stopping" in worker.told())
    # A debugger of the threads, which Celery prints past every log.
    worker.signal(signal.SIGUSR1)
    sandbox.release("hold-1")
    assert worker.wait() == code

    stopping, stopped = named(worker, "worker_stopping"), named(worker, "worker_stopped")
    assert (stopping["signal"], stopping["calls"]) == (number.name, 1)
    assert (stopped["signal"], stopped["exit_code"]) == (number.name, code)
    assert (stopped["calls_then"], stopped["messages_given_back"]) == (1, 0)


@sqlite
def test_a_worker_that_ends_at_once_says_so(
    worker_env: dict[str, str], worker_process: StartWorker, broker_url: str, sandbox: Sandbox
) -> None:
    worker = worker_process(worker_env | UNHURRIED)
    held(broker_url, sandbox, ["hold-1"])
    worker.signal(QUIT)
    assert worker.wait() == 128 + QUIT
    ended = named(worker, "worker_ends_at_once")
    assert (ended["signal"], ended["calls"]) == ("SIGQUIT", 1)


@sqlite
def test_messages_that_a_stop_gives_back_are_counted(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
) -> None:
    """One slot is taken, and the other message that it holds goes back to the queue."""
    worker = worker_process(worker_env | UNHURRIED | {"KPLUS_CONCURRENCY": "1"})
    held(broker_url, sandbox, ["hold-1"])
    send(broker_url, [order(f"WAIT{number}", f"ok-{number}") for number in range(3)])
    worker.signal(TERM)
    worker.wait_until(lambda: "worker_stopping" in worker.told())
    sandbox.release("hold-1")
    assert worker.wait() == 0
    assert named(worker, "worker_stopped")["messages_given_back"] in {0, 1}
    later = worker_process(worker_env)
    later.wait_until(lambda: store.reports.stats().states["succeeded"] == 4)


@sqlite
def test_a_rest_of_a_partner_is_told_when_it_begins_and_ends(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
) -> None:
    environment = worker_env | QUICK | {"KPLUS_COOLDOWN_BASE_SECONDS": "1"}
    environment |= {"KPLUS_COOLDOWN_CAP_SECONDS": "1", "KPLUS_MAX_ATTEMPTS": "20"}
    worker = worker_process(environment)
    send(broker_url, [order("UID", "ratelimit1-1")])
    eventually(lambda: "partner_rest_over" in worker.told(), saying=worker.told)
    eventually(lambda: store.reports.stats().states["succeeded"] == 1)
    assert worker.stop() == 0
    told = [line for line in lines(worker) if line["event"].startswith("partner_rest")]
    assert [line["event"] for line in told[:2]] == ["partner_rests", "partner_rest_over"]
    assert told[0]["partner_id"] == worker_env["KPLUS_PARTNER_ID"]
    assert told[0]["reason"]
    assert told[0]["until"]


@sqlite
def test_what_a_library_prints_is_an_event(
    worker_env: dict[str, str], worker_process: StartWorker, tmp_path: str
) -> None:
    """A process id file that is left over: Celery prints a line to standard error."""
    left = os.path.join(tmp_path, "worker.pid")  # noqa: PTH118
    with open(left, "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("999999999\n")
    worker = worker_process(worker_env, "--pidfile", left, command=CELERY)
    assert worker.stop() == 0
    assert "pidfile" in named(worker, "printed")["text"]

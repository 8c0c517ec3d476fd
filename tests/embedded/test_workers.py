"""Real workers on the embedded default: they share one broker, and survive the one that ran it."""

from pathlib import Path

import pytest
from celery import Celery

from tests.servers.waiting import eventually
from tests.servers.workers import StartWorker
from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN
from worker.broker.embedded import known_url
from worker.sandbox import Sandbox

pytestmark = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


@pytest.fixture
def embedded_env(worker_env: dict[str, str]) -> dict[str, str]:
    """The settings of a worker that is told of no broker."""
    return {name: value for name, value in worker_env.items() if name != "KPLUS_BROKER_URL"}


@pytest.fixture
def home(worker_env: dict[str, str]) -> Path:
    return Path(worker_env["KPLUS_HOME"])


def send(home: Path, uid: str) -> None:
    """Send a whole message, as a program does that knows nothing of ours but the queue."""
    order = {"partnerTxnUid": uid, "tokenId": f"ok-{uid}", "reference1": "order"}
    with Celery(broker=eventually(lambda: known_url(home)), set_as_current=False) as app:
        app.send_task(CANCEL_TOKEN, kwargs=order, queue=CANCEL_QUEUE)


def test_a_worker_brings_its_broker_and_takes_it_along(
    worker_process: StartWorker, embedded_env: dict[str, str], sandbox: Sandbox, home: Path
) -> None:
    worker = worker_process(embedded_env)
    send(home, "A1")
    worker.wait_until(lambda: sandbox.journal.posts_per_uid() == {"A1": 1})
    assert worker.stop() == 0
    assert known_url(home) is None


def test_a_worker_takes_the_broker_over_and_goes_on_consuming(
    worker_process: StartWorker, embedded_env: dict[str, str], sandbox: Sandbox, home: Path
) -> None:
    """The one that ran it is killed; the other's open connections find the new one."""
    first = worker_process(embedded_env)
    second = worker_process(embedded_env)
    url = known_url(home)
    first.kill()
    second.wait_until(lambda: "embedded_broker_started" in second.told())
    assert eventually(lambda: known_url(home)) == url
    send(home, "B1")
    second.wait_until(lambda: sandbox.journal.posts_per_uid() == {"B1": 1})

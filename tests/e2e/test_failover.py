"""A real worker, its producer and a failover: nothing has to be restarted."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.servers.standbys import Pair
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, SECRET, StartWorker
from worker.config.settings import GivenSettings
from worker.enqueue import Producer
from worker.errors import StoreUnavailable
from worker.process.heartbeat import read_heartbeats
from worker.sandbox import Sandbox
from worker.store import Store

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def worker_database(pair: Pair) -> str:
    """The worker's URL names both servers, and says nothing else."""
    return pair.url()


def promoted(pair: Pair) -> None:
    pair.standby.promote()


def back(pair: Pair) -> None:
    pair.primary.start()


@pytest.mark.parametrize("ends", [promoted, back])
def test_a_worker_and_its_producer_go_on_after_a_failover(
    pair: Pair,
    worker_env: dict[str, str],
    worker_process: StartWorker,
    sandbox: Sandbox,
    ends: Callable[[Pair], None],
) -> None:
    worker = worker_process(worker_env)
    settings = GivenSettings(
        home=Path(worker_env["KPLUS_HOME"]),
        database_url=worker_env["KPLUS_DATABASE_URL"],
        broker_url=worker_env["KPLUS_BROKER_URL"],
        partner_id=PARTNER_ID,
        partner_secret=SECRET,
    )
    producer = Producer(settings)
    store: Store = producer._runtime.store  # noqa: SLF001 - its eyes are as good as others

    def ended() -> int:
        with suppress(StoreUnavailable):
            return store.reports.stats().states["succeeded"]
        return 0

    def ordered(name: str) -> None:
        for number in range(5):
            order = {"partner_txn_uid": f"{name}{number}", "token_id": f"ok-{name}{number}"}
            producer.enqueue({**order, "reference1": "R1"})

    ordered("A")
    eventually(lambda: ended() == 5, saying=worker.told)
    eventually(pair.has_caught_up)
    pair.primary.stop()
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            ordered("X")
    eventually(lambda: '"sweep_waits"' in worker.told(), saying=worker.told)
    ends(pair)
    ordered("B")
    eventually(lambda: ended() == 10, saying=worker.told)
    eventually(lambda: '"sweep_resumes"' in worker.told(), saying=worker.told)
    posts = sandbox.journal.posts_per_uid()
    assert {uid: posts[uid] for uid in posts if uid[0] in "AB"} == {
        f"{name}{number}": 1 for name in "AB" for number in range(5)
    }
    eventually(lambda: [beat.stalled for beat in read_heartbeats(settings.home)] == [None])
    producer.close()
    assert worker.stop() == 0

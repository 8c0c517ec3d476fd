"""Sentinel: a master dies, its replica takes over, and the worker goes on with it."""

from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.servers.sentinels import Watched
from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import PARTNER_ID, StartWorker
from worker.config.settings import GivenSettings
from worker.enqueue import Producer
from worker.sandbox import Sandbox
from worker.store import Status, Store


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_failover_loses_and_doubles_nothing(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    watched: Watched,
    database: str,
    sandbox: Sandbox,
    store: Store,
    tmp_path: Path,
) -> None:
    """
    Orders come before, in and after it; what Redis had not replicated is hinted again.

    One call is under way when the master dies, so that a message is not acknowledged by then.
    """
    worker = worker_process(worker_env | {"KPLUS_BROKER_URL": watched.url})
    settings = GivenSettings(
        home=tmp_path / "producer",
        database_url=SecretStr(database),
        broker_url=SecretStr(watched.url),
        partner_id=PARTNER_ID,
    )
    with closing(Producer(settings)) as producer:

        def enqueue(name: str, count: int, token: str = "ok") -> None:
            for n in range(count):
                row = {"partner_txn_uid": f"{name}{n}", "token_id": f"{token}-{name}{n}"}
                assert producer.enqueue(row | {"reference1": "R"}).status is Status.ACCEPTED

        enqueue("CALLED", 1, "hold")
        assert sandbox.journal.wait_for_posts(1, timeout=LIMIT)
        enqueue("BEFORE", 10)
        watched.master.kill()
        enqueue("IN", 5)
        watched.wait_for_the_replica()
        enqueue("AFTER", 10)
        sandbox.release("hold-CALLED0")
        eventually(
            lambda: store.reports.stats().outcomes["cancelled"] == 26,
            saying=worker.told,
        )
    assert worker.running
    assert sandbox.journal.overlaps() == []
    assert set(sandbox.journal.posts_per_uid().values()) == {1}
    assert worker.stop() == 0

"""Whatever is delivered how often, the bank is asked once."""

from contextlib import closing

import pytest
import redis
from pydantic import SecretStr

from tests.e2e.producers import UNHURRIED, order, send
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, StartWorker
from worker.broker.app import CANCEL_QUEUE
from worker.config.settings import GivenSettings
from worker.enqueue import Producer
from worker.sandbox import Sandbox
from worker.store import Store

FLOOD = 4000


def test_two_hundred_messages_for_fifty_uids_are_fifty_posts(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
) -> None:
    """Two worker processes race for each; the producer knows nothing but the contract."""
    for _ in range(2):
        worker_process(worker_env)
    messages = [order(f"UID{n:04}", f"ok-{n:04}") for n in range(50)]
    send(broker_url, messages * 4)
    eventually(lambda: store.reports.stats().states["succeeded"] == 50)
    posts = sandbox.journal.posts_per_uid()
    files = [store.reports.file(f"UID{n:04}") for n in range(50)]
    assert len(posts) == 50
    assert set(posts.values()) == {1}
    assert sandbox.journal.overlaps() == []
    assert sum(len(file.attempts) for file in files if file) == 50
    assert {file.job["outcome"] for file in files if file} == {"cancelled"}


def test_a_message_that_comes_long_after_the_end_does_nothing(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
) -> None:
    """Duplicates and hints of a finished job lead to no POST, no row and no change."""
    worker_process(worker_env)
    send(broker_url, [order("UID1", "ok-1")])
    eventually(lambda: store.reports.stats().states["succeeded"] == 1)
    before = store.reports.file("UID1")
    send(broker_url, [order("UID1", "ok-1"), {"partnerTxnUid": "UID1"}, order("UID2", "ok-2")])
    eventually(lambda: store.reports.stats().states["succeeded"] == 2)
    assert store.reports.file("UID1") == before
    assert sandbox.journal.posts_per_uid()["UID1"] == 1


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_flood_of_one_uid_holds_up_no_stored_job(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
) -> None:
    """The hint comes last, and its job is done while most of the flood still waits."""
    send(broker_url, [order("DROWNED", "ok-1")] * FLOOD)
    with closing(
        Producer(
            GivenSettings(
                database_url=SecretStr(worker_env["KPLUS_DATABASE_URL"]),
                broker_url=SecretStr(broker_url),
                partner_id=PARTNER_ID,
            )
        )
    ) as producer:
        producer.enqueue({"partner_txn_uid": "OTHER", "token_id": "hold-2", "reference1": "R"})
    with redis.Redis.from_url(broker_url) as client:
        # The bank sits on the call, and the one slot takes nothing else while we count.
        worker_process(worker_env | UNHURRIED | {"KPLUS_CONCURRENCY": "1"}, ready=False)
        eventually(lambda: "OTHER" in sandbox.journal.posts_per_uid())
        waiting = int(client.llen(CANCEL_QUEUE))
        sandbox.release("hold-2")
    assert waiting > FLOOD / 2

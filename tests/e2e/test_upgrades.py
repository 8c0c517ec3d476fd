"""An upgrade with real workers: before it, beside it, and in the middle of a load."""

import subprocess

import pytest
import redis
from celery import Celery

from tests.e2e.producers import UNHURRIED, hand_over, order, send
from tests.servers.roles import by_owner
from tests.servers.schema import downgrade, migrate
from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import COMMAND, PARTNER_ID, SECRET, StartWorker, clean_environment
from worker.sandbox import Sandbox
from worker.store import Store
from worker.store.schema.migrate import revisions

PREVIOUS = revisions()[-2]
ADDED_IN_PARTS = "kplus_0002"
"""From here on the migrations touch the tables that a worker writes at every settlement."""


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_worker_takes_no_message_before_the_schema_is_its_own(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    database: str,
    sandbox: Sandbox,
    store: Store,
) -> None:
    """The messages of the version before wait, and are understood afterwards."""
    downgrade(database, PREVIOUS)
    row = {"partner_id": PARTNER_ID, "token_id": "ok-2", "reference1": "R", "expires_at": None}
    store.jobs.accept({"uid": "ROW", **row}, hinted=True)
    messages: list[dict[str, object]] = [
        order("WHOLE", "ok-1", oldKey=[1], partnerSecret=SECRET),
        {"partnerTxnUid": "ROW"},
    ]
    send(broker_url, messages)
    early = worker_process(worker_env, ready=False)
    assert early.wait() == 4
    assert "the database's schema is not up to date, it lacks migration" in early.told()
    assert "run `kplus-cancel db upgrade`" in early.told()
    with redis.Redis.from_url(broker_url) as client:
        assert client.llen("kplus.cancel") == len(messages)
    migrate(database)
    worker_process(worker_env)
    eventually(lambda: store.reports.stats().outcomes["cancelled"] == 2)
    assert sandbox.journal.posts_per_uid() == {"WHOLE": 1, "ROW": 1}


@by_owner
def test_an_upgrade_under_load_loses_and_doubles_nothing(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    database: str,
    sandbox: Sandbox,
    store: Store,
) -> None:
    """
    Columns go and come back under a worker that writes them; a call is under way meanwhile.

    Two upgrades run at the same time.
    """
    worker = worker_process(worker_env | UNHURRIED)
    client = Celery(broker=broker_url, set_as_current=False)
    hand_over(client, order("PROOF", "ok-proof"))
    eventually(lambda: store.reports.stats().outcomes["cancelled"] == 1)
    hand_over(client, order("HELD", "hold-1"))
    assert sandbox.journal.wait_for_posts(2, timeout=LIMIT)
    for n in range(20):
        hand_over(client, order(f"A{n}", f"ok-a{n}"))
    downgrade(database, ADDED_IN_PARTS)
    for n in range(20):
        hand_over(client, order(f"B{n}", f"ok-b{n}"))
    going = [upgrading(worker_env) for _ in range(2)]
    assert [each.wait(timeout=LIMIT) for each in going] == [0, 0]
    client.close()
    sandbox.release("hold-1")
    eventually(lambda: store.reports.stats().outcomes["cancelled"] == 42, saying=worker.told)
    assert worker.running
    assert sandbox.journal.overlaps() == []
    assert set(sandbox.journal.effects().values()) == {1}
    assert set(sandbox.journal.posts_per_uid().values()) == {1}
    files = [store.reports.file(uid) for uid in sandbox.journal.posts_per_uid()]
    assert [len(file.attempts) for file in files if file] == [1] * 42


def upgrading(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*COMMAND, "db", "upgrade"],
        env=clean_environment() | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

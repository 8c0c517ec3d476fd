"""A worker killed in the middle of a call: the job is rescued, and asked about again."""

from collections.abc import Sequence

import pytest

from tests.e2e.producers import UNHURRIED, end_leases, order, send
from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import CELERY, COMMAND, StartWorker
from worker.sandbox import Sandbox
from worker.store import Store

QUICK = UNHURRIED | {
    "KPLUS_CONCURRENCY": "4",
    "KPLUS_BACKOFF_BASE_SECONDS": "0.2",
}


@pytest.mark.parametrize(
    ("pool", "command"),
    [("threads", COMMAND), ("prefork", COMMAND), ("threads", CELERY), ("prefork", CELERY)],
    ids=["threads", "prefork", "celery-threads", "celery-prefork"],
)
@pytest.mark.parametrize(
    ("token", "outcome"), [("hold-1", "cancelled"), ("holdbefore-1", "cancelled")]
)
def test_a_job_killed_in_mid_call_ends_in_its_right_outcome(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
    pool: str,
    command: Sequence[str],
    token: str,
    outcome: str,
) -> None:
    """The bank had acted, or had not yet: neither is guessed, and no two calls overlap."""
    environment = worker_env | QUICK
    first = worker_process(environment, "--pool", pool, command=command)
    send(broker_url, [order("UID1", token)])
    assert sandbox.journal.wait_for_posts(1, timeout=LIMIT)
    first.kill()
    sandbox.release(token)
    end_leases(sandbox, store)
    worker_process(environment, "--pool", pool, command=command)
    eventually(lambda: store.reports.stats().outcomes[outcome] == 1)
    file = store.reports.file("UID1")
    assert file is not None
    assert file.job["outcome"] == outcome
    assert file.job["doubted"]
    assert [attempt["heard"] for attempt in file.attempts] == ["lease_ended", outcome]
    assert sandbox.journal.posts_per_uid() == {"UID1": 2}
    assert sandbox.journal.overlaps() == []
    assert sandbox.journal.effects() == {token: 1}

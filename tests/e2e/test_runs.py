"""Runs in a real worker: a backlog without messages drains, and holds up nobody."""

from pathlib import Path

import pytest
from celery import Celery

from tests.e2e.producers import UNHURRIED, hand_over, order
from tests.integration.stock import order as row_of
from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import PARTNER_ID, SECRET, StartWorker
from worker.sandbox import Sandbox
from worker.store import Store

OTHER = "KP2OTHER00000001"
JOBS_OF_A_RUN = 5
BACKLOG = 300
LONG = 2000
"""Jobs; their worker takes 40 s for them at least."""
BEFORE = 30
"""Calls of the backlog before the order of the other partner is sent."""
AHEAD = (2 + 2) * JOBS_OF_A_RUN
"""Two threads have a run under way, and two hints wait: each opens a run."""


def _accept(store: Store, count: int) -> list[str]:
    uids = [f"BACK{number:04}" for number in range(count)]
    rows = [row_of(uid, partner_id=PARTNER_ID, token_id=f"ok-{uid}") for uid in uids]
    store.bulk.accept(rows, hinted=set())
    return uids


def test_a_backlog_that_no_message_brings_is_done_once(
    worker_env: dict[str, str], worker_process: StartWorker, sandbox: Sandbox, store: Store
) -> None:
    uids = _accept(store, BACKLOG)
    for _ in range(2):
        worker_process(worker_env | UNHURRIED)
    eventually(lambda: store.reports.stats().outcomes["cancelled"] == BACKLOG)
    assert sandbox.journal.posts_per_uid() == dict.fromkeys(uids, 1)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
@pytest.mark.parametrize("partner_id", [PARTNER_ID, OTHER], ids=["its own", "another's"])
def test_an_order_that_comes_as_a_message_waits_for_few_runs(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
    tmp_path: Path,
    partner_id: str,
) -> None:
    """However much is due of a partner. The bound in jobs: one in time cannot be asserted."""
    secrets = {PARTNER_ID: SECRET, OTHER: SECRET}
    sandbox.expect_secrets(secrets)
    sandbox.change_rules(latency_ms=20)
    file = tmp_path / "partners.toml"
    file.write_text("".join(f'[partners.{name}]\nsecret = "{SECRET}"\n' for name in secrets))
    file.chmod(0o600)
    env = {name: each for name, each in worker_env.items() if "PARTNER" not in name}
    env |= {"KPLUS_PARTNERS_FILE": str(file), "KPLUS_CONCURRENCY": "1"}
    env |= {"KPLUS_RUN_JOBS": str(JOBS_OF_A_RUN)}
    _accept(store, LONG)
    worker_process(env | UNHURRIED)
    assert sandbox.journal.wait_for_posts(BEFORE, timeout=LIMIT)
    with Celery(broker=broker_url) as app:
        hand_over(app, order("ORDER", "ok-order", partnerId=partner_id))
    waiting = len(sandbox.journal)
    eventually(lambda: sandbox.journal.posts_per_uid().get("ORDER"))
    calls = [entry.partner_txn_uid for entry in sandbox.journal.entries()]
    assert calls.index("ORDER") <= waiting + AHEAD
    assert waiting + AHEAD < LONG

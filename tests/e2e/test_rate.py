"""The rate of a partner at the bank itself, by the times at which calls arrive there."""

from pathlib import Path

import pytest

from tests.e2e.producers import UNHURRIED, order, send
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, SECRET, StartWorker
from worker.sandbox import Sandbox
from worker.store import Store

RATE = 5
JOBS = 40


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_two_workers_keep_a_partners_rate_together(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
    tmp_path: Path,
) -> None:
    """One more may fall into a second, at its edge."""
    file = tmp_path / "partners.toml"
    file.write_text(f'[partners.{PARTNER_ID}]\nsecret = "{SECRET}"\nrate_per_second = {RATE}\n')
    file.chmod(0o600)
    env = {name: each for name, each in worker_env.items() if "PARTNER" not in name}
    for _ in range(2):
        worker_process(env | UNHURRIED | {"KPLUS_PARTNERS_FILE": str(file)})
    messages = [order(f"UID{n:04}", f"ok-{n:04}") for n in range(JOBS)]
    send(broker_url, [{**message, "partnerId": PARTNER_ID} for message in messages])
    eventually(lambda: store.reports.stats().states["succeeded"] == JOBS)
    assert sandbox.journal.busiest_second() <= RATE + 1
    assert set(sandbox.journal.posts_per_uid().values()) == {1}

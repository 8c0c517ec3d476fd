"""A running worker takes a new secret from its file: no restart, no operator."""

from pathlib import Path

import pytest

from tests.e2e.producers import order, send
from tests.servers.secret_files import swap
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, SECRET, StartWorker
from worker.sandbox import Sandbox
from worker.store import Store

WRONG = "canary-d3Jvbmctc2VjcmV0"


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_worker_with_a_wrong_secret_goes_on_when_the_file_is_right(
    worker_env: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    store: Store,
    tmp_path: Path,
) -> None:
    """The file is swapped as Kubernetes does it; meanwhile a broken one is told of, once."""
    file = tmp_path / "mounted" / "kbank"
    file.parent.mkdir()
    swap(file, WRONG)
    del worker_env["KPLUS_PARTNER_SECRET"]
    worker = worker_process(worker_env | {"KPLUS_PARTNER_SECRET_FILE": str(file)})
    send(broker_url, [order(f"UID{n}", f"ok-{n}") for n in range(5)])
    eventually(lambda: [each.mode for each in store.partners.all()] == ["paused"])
    swap(file, "")
    worker.wait_until(lambda: "partners_broken" in worker.told())
    assert store.reports.stats().attempts == 0

    swap(file, SECRET)
    eventually(lambda: store.reports.stats().states["succeeded"] == 5)
    assert worker.stop() == 0
    assert sandbox.journal.counts()["wrong_credentials"] == 1
    assert worker.told().count('"partners_broken"') == 1
    assert '"partner_resumed"' in worker.told()
    assert WRONG not in worker.told()
    assert SECRET not in worker.told()
    (known,) = store.partners.all()
    assert (known.partner_id, known.mode) == (PARTNER_ID, "active")

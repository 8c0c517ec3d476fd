"""Between the signal and its end a worker begins nothing, and ends whatever hangs."""

import signal
import subprocess
import sys
from typing import Any

import pytest
from celery.exceptions import Reject
from pydantic import SecretStr

from tests.integration.stock import accept
from tests.servers.waiting import LIMIT
from tests.servers.workers import PARTNER_ID, SECRET, clean_environment
from worker.broker.hints import Hints
from worker.config.settings import GivenSettings
from worker.jobs.sweep import sweep
from worker.process.tasks import handle_message
from worker.runtime import Runtime, create_celery
from worker.store import Store

HANGS = """
import threading
from datetime import timedelta
from celery.signals import worker_shutting_down
from worker.process.shutdown import Shutdown
stop = Shutdown(within=timedelta(seconds=0.1))
stop.listen()
assert not stop()
worker_shutting_down.send(sender=None, sig="SIGTERM", how="Warm", exitcode=0)
assert stop()
threading.Event().wait()
"""


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_message_that_comes_to_a_thread_after_the_signal_is_given_back(
    database: str, store: Store
) -> None:
    """Messages may wait in the pool behind calls under way; another worker is to have them now."""
    settings = GivenSettings(
        database_url=SecretStr(database), partner_id=PARTNER_ID, partner_secret=SecretStr(SECRET)
    )
    runtime = Runtime(settings, stopping=lambda: True)
    order = {"partnerTxnUid": "U1", "tokenId": "ok-1", "reference1": "R"}
    with pytest.raises(Reject) as given_back:
        handle_message((), order, runtime)
    reject: Any = given_back.value
    assert reject.requeue
    assert not store.jobs.exists("U1")
    accept(store, "U2")
    hints = Hints(create_celery(settings, url="redis://127.0.0.1:1"))
    assert sweep(runtime.sweep(hints)).hinted == 0
    runtime.close()


def test_a_stop_that_hangs_is_ended_by_the_kernel() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS],
        env=clean_environment(),
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == -signal.SIGALRM, done.stderr

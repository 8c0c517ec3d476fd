"""Foreign producers: plain Celery clients that know nothing but the contract."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from celery import Celery
from sqlalchemy import text

from tests.servers.waiting import LIMIT, eventually
from worker.sandbox import Sandbox
from worker.store import Store

QUICK = {
    "KPLUS_DEADLINE_SECONDS": "2",
    "KPLUS_LEASE_SECONDS": "3",
    "KPLUS_BACKOFF_BASE_SECONDS": "0.1",
    "KPLUS_BACKOFF_CAP_SECONDS": "0.1",
    "KPLUS_COOLDOWN_BASE_SECONDS": "0.1",
    "KPLUS_COOLDOWN_CAP_SECONDS": "0.1",
    "KPLUS_MAX_ATTEMPTS": "3",
    "KPLUS_SWEEP_SECONDS": "0.1",
}
"""The settings of a worker that comes to an end soon."""

UNHURRIED = {
    "KPLUS_DEADLINE_SECONDS": str(LIMIT),
    "KPLUS_LEASE_SECONDS": str(2 * LIMIT),
}
"""A worker whose calls and leases outlast whatever a test does meanwhile, however slowly."""

SCRIPT = """
import json, sys
from celery import Celery
app = Celery(broker=sys.argv[1])
for kwargs in json.load(sys.stdin):
    app.send_task("kplus.cancel_token", kwargs=kwargs, queue="kplus.cancel")
assert not [name for name in sys.modules if name.split(".")[0] == "worker"]
print(app.amqp.router is not None)
"""


def hand_over(app: Celery, kwargs: Mapping[str, object]) -> None:
    """Send one message from this process."""
    app.send_task("kplus.cancel_token", kwargs=dict(kwargs), queue="kplus.cancel")


def send(broker_url: str, messages: Iterable[Mapping[str, object]]) -> None:
    """Send messages from a process of its own, without our package; return when all are sent."""
    subprocess.run(
        [sys.executable, "-c", SCRIPT, broker_url],
        input=json.dumps(list(messages)),
        text=True,
        check=True,
        capture_output=True,
        timeout=LIMIT,
    )


def end_leases(sandbox: Sandbox, store: Store) -> None:
    """
    Let the leases of a worker that was killed end now: nobody waits for that.

    The calls it left behind have ended at the bank by then, as they have when a lease ends.
    """
    eventually(lambda: sandbox.journal.counts()["in_progress"] == 0)
    zone = "" if store.database.is_sqlite else "+00"
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}{zone}"
    ended = "UPDATE cancel_jobs SET lease_ends_at = :now WHERE state = 'in_flight'"
    with store.database.writing() as connection:
        connection.execute(text(ended), {"now": now})


def order(uid: str, token: str, **more: object) -> dict[str, object]:
    """Return the keyword arguments of a whole message."""
    return {"partnerTxnUid": uid, "tokenId": token, "reference1": f"REF-{uid}", **more}

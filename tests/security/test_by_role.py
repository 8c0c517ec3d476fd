"""Everything that is done, done by the role that is for it: the worker, operators, the producer."""

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.cli.conftest import Run, _logging_stays, run  # noqa: F401 - fixtures
from tests.e2e.producers import QUICK, order, send
from tests.integration.stock import ANSWERED, CANCELLED, LOST, PAID, accept, claimed, settle
from tests.servers.databases import GIVEN
from tests.servers.postgres import PostgresServer
from tests.servers.receivers import SECRET as WEBHOOK_SECRET
from tests.servers.receivers import Receiver
from tests.servers.roles import SETTING, Roles
from tests.servers.schema import ROOT
from tests.servers.waiting import LIMIT
from tests.servers.workers import PARTNER_ID, SECRET, StartWorker
from worker.config.settings import GivenSettings
from worker.domain.decision import Decision
from worker.domain.destinations import Destination
from worker.domain.states import Event, Outcome
from worker.enqueue import Producer
from worker.sandbox import Sandbox
from worker.store import Status, Store, open_database

pytestmark = pytest.mark.postgres

REJECTED = {"conflict", "invalid_fields", "unknown_job"}
GAVE_UP = Decision(Event.EXHAUST, "connect_failed", "never", outcome=Outcome.GAVE_UP)
UNKNOWN = Decision(Event.EXHAUST, "duplicate", "seen", outcome=Outcome.UNKNOWN)
PART = [
    f"tests/integration/test_{name}.py"
    for name in ("accept", "actions", "claim", "fold", "prune", "rejected_messages", "settle")
]
"""What the store writes, each by the role that writes it."""


@pytest.fixture
def settings(
    database: str, roles: Roles, broker_url: str, sandbox: Sandbox, tmp_path: Path
) -> Callable[[str], dict[str, str]]:
    """The settings of a program that logs in as a role."""

    def of(role: str) -> dict[str, str]:
        return {
            "KPLUS_HOME": str(tmp_path / role),
            "KPLUS_DATABASE_URL": roles.url(database, role),
            "KPLUS_BROKER_URL": broker_url,
            "KPLUS_BANK_URL": sandbox.cancel_url,
            "KPLUS_INQUIRY_URL": sandbox.inquiry_url,
            "KPLUS_PARTNER_ID": PARTNER_ID,
            "KPLUS_PARTNER_SECRET": SECRET,
        }

    return of


def test_a_worker_does_all_its_work_by_its_role(
    settings: Callable[[str], dict[str, str]],
    worker_process: StartWorker,
    broker_url: str,
    sandbox: Sandbox,
    receiver: Receiver,
    store: Store,
) -> None:
    """Orders as messages and as rows, retries, doubt, faults of ours, outcomes, rejected ones."""
    told = {"KPLUS_WEBHOOK_URL": receiver.url, "KPLUS_WEBHOOK_SECRET": WEBHOOK_SECRET}
    worker = worker_process(settings("worker") | QUICK | told)
    send(
        broker_url,
        [
            order("OK", "ok-1"),
            order("PAID", "paid-1"),
            order("BUSY", "busy2+ok-2"),
            order("LOST", "drop+ok-3"),
            order("OK", "other"),
            {"partnerTxnUid": "UNKNOWN"},
            order("BAD", "a token of two words"),
        ],
    )
    row = {"partner_id": PARTNER_ID, "token_id": "ok-5", "reference1": "R", "expires_at": None}
    store.jobs.accept({"uid": "ROW", **row}, hinted=False)

    def ended() -> bool:
        found = store.reports.stats().outcomes
        return (found["cancelled"], found["paid"]) == (4, 1)

    worker.wait_until(ended)
    worker.wait_until(lambda: set(store.rejected_messages.counts()) == REJECTED)
    worker.wait_until(lambda: len({post.id for post in receiver.posts}) == 5)
    send(broker_url, [order("WRONG", "wrongsecret-1")])
    worker.wait_until(lambda: [row.mode for row in store.partners.all()] == ["paused"])
    assert "permission denied" not in worker.told()
    assert worker.stop() == 0


def test_a_producer_enqueues_by_its_role(
    settings: Callable[[str], dict[str, str]], database: str, roles: Roles, store: Store
) -> None:
    given = GivenSettings(
        home=Path(settings("producer")["KPLUS_HOME"]),
        database_url=SecretStr(roles.url(database, "producer")),
        broker_url=SecretStr(settings("producer")["KPLUS_BROKER_URL"]),
        partner_id=PARTNER_ID,
    )
    first = {"partner_txn_uid": "U2", "token_id": "T", "reference1": "R"}
    other = first | {"token_id": "OTHER"}
    with closing(Producer(given)) as producer:
        told = [receipt.status for receipt in producer.enqueue_many([first, first, other])]
        assert told == [Status.ACCEPTED, Status.DUPLICATE, Status.CONFLICT]
        assert producer.enqueue(other).status is Status.CONFLICT
        assert producer.enqueue(first | {"partner_txn_uid": "U3"}).status is Status.ACCEPTED
    assert store.rejected_messages.counts() == {"conflict": 1}


@pytest.fixture
def operate(settings: Callable[[str], dict[str, str]], run: Run) -> Callable[..., Any]:  # noqa: F811
    """Run a command as the operator, and return what it prints as JSON."""

    def act(*words: str, codes: Collection[int] = (0,)) -> Any:
        is_plain = words[0] == "export"
        done = run(*words, *([] if is_plain else ["--json"]), **settings("operator"))
        assert "permission denied" not in done.all()
        assert done.code in codes, done.all()
        return done.out if is_plain else done.json

    return act


@pytest.fixture
def past(database: str) -> Iterator[Store]:
    """A store of long ago, which tells each end by a webhook."""
    opened = open_database(database, clock=lambda: datetime.now(UTC) - timedelta(days=400))
    store = Store(opened, destinations=[Destination.WEBHOOK])
    yield store
    store.close()


ANY = ("--reason", "why")


def test_an_operator_runs_every_command_by_its_role(
    operate: Callable[..., Any], past: Store, store: Store, sandbox: Sandbox, tmp_path: Path
) -> None:
    ends = {"PAID": PAID, "GAVE-UP": GAVE_UP, "UNKNOWN": UNKNOWN, "DOUBT": LOST, "AUDIT": CANCELLED}
    accept(past, *ends, partner_id=PARTNER_ID)
    for uid, decision in ends.items():
        settle(past, claimed(past, uid), decision, ANSWERED)
    manifest = tmp_path / "orders.csv"
    manifest.write_text("partnerTxnUid,tokenId,reference1\nLISTED,T,R\nLISTED-2,T,R\n")

    assert operate("db", "check")["up_to_date"]
    operate("doctor", codes=(0, 1))
    for words in (["stats"], ["list"], ["show", "PAID"], ["why", "DOUBT"], ["rejected"]):
        operate(*words)
    assert operate("export").count("\n") == len(ends) - 1

    assert operate("requeue", "GAVE-UP", *ANY)["requeued"]
    operate("reissue", "UNKNOWN", "--as", "ANEW", *ANY)
    operate("partners", "pause", PARTNER_ID, *ANY)
    operate("partners", "resume", PARTNER_ID, *ANY)
    assert operate("partners", "list")
    assert len(operate("actions")) == 4

    events = operate("outbox", "list")
    operate("outbox", "resend", events[0]["event_id"], *ANY, codes=(1,))
    operate("outbox", "enable", *ANY)
    operate("dialect", "unknown")
    operate("dialect", "apply", "--yes", *ANY)

    new = ("--token", "T", "--reference1", "R")
    assert operate("enqueue", "--uid", "NEW", *new)["status"] == "accepted"
    conflict = ("--token", "OTHER", "--reference1", "R")
    assert operate("enqueue", "--uid", "NEW", *conflict, codes=(1,))["status"] == "conflict"
    operate("import", str(manifest))
    assert operate("reconcile")["broker_reached"]
    operate("reconcile", "--manifest", str(manifest), "--enqueue", "--yes")
    operate("reconcile", "--audit", "1", "--since", "500d", codes=(0, 1, 4))

    ages = [f"--{what}-older-than" for what in ("messages", "actions", "audits", "told")]
    given = [word for age in ages for word in (age, "1d")]
    done = operate("prune", "--older-than", "90d", *given, "--yes")["pruned"]
    assert sum(each["count"] for each in done) >= 2
    assert store.retention.tombstone("PAID") is not None


def test_the_suite_of_the_store_passes_by_the_roles(
    postgresql_server: PostgresServer, tmp_path: Path
) -> None:
    """A part of it; all of it: `KPLUS_TEST_ROLES=1 ./dev test tests/integration tests/e2e`."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "postgresql", "-p", "no:cacheprovider", *PART],
        cwd=ROOT,
        env=os.environ | {SETTING: "1", GIVEN: postgresql_server.url()},
        capture_output=True,
        text=True,
        timeout=5 * LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]

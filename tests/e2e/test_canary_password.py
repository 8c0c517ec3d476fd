"""The password of a client key opens the key, right or wrong, and is found nowhere afterwards."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from celery import Celery
from sqlalchemy import text

from tests.bank.tls_files import AUTHORITY, HERE, server_context
from tests.e2e.batch import Command, run_all
from tests.e2e.canaries import PLANTED, dresses, everywhere, keys_as_text, plant, traces
from tests.e2e.producers import QUICK, hand_over, order
from tests.servers.brokers import RedisServer
from tests.servers.databases import KINDS, Databases
from tests.servers.waiting import eventually
from tests.servers.workers import WorkerProcess
from worker.broker.keys import UNACKED
from worker.sandbox import Sandbox
from worker.store import Store, open_database

pytestmark = [pytest.mark.e2e, pytest.mark.broker]

RIGHT = 'canary+a2V5/cGFzc3dvcmQ= "so" <&> 100%'
WRONG = "canary-d3Jvbmc/a2V5+cGFzc3dvcmQ= 'no' \\"
PASSWORDS = {"the right password": RIGHT, "a wrong password": WRONG}
SECRET = "canary-of-the-partner/bXRscw+="
LOCKED = "client_key_canary.pem"
IDENTITIES = {
    "KP-RIGHT": {"client_key": LOCKED, "client_key_password_file": "right"},
    "KP-WRONG": {"client_key": LOCKED, "client_key_password_file": "wrong"},
    "KP-MIXED-UP": {"client_key": "right", "client_key_password_file": LOCKED},
    "KP-NO-CERTIFICATE": {"client_cert": "right", "client_key_password_file": "right"},
    "KP-STRANGER": {
        "client_cert": "client_stranger.pem",
        "client_key": LOCKED,
        "client_key_password_file": "right",
    },
}
FORMS = ("--json", "--table")
HARMED = sorted(IDENTITIES.keys() - {"KP-RIGHT"})
COLUMNS = {
    "cancel_jobs": "error_desc",
    "cancel_attempts": "detail",
    "token_statuses": "status",
    "partners": "reason",
    "rejected_messages": "body",
    "operator_actions": "reason",
}
"""A column of text in each of our tables."""


@dataclass
class Run:
    """Everything that a run with locked keys leaves behind."""

    store: Store
    server: RedisServer
    bank: Sandbox
    places: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    """The traces of passwords after the run, before any test has planted one."""

    def searched(self) -> dict[str, str]:
        """Return all places as they are now, by name."""
        with self.server.client() as client:
            return self.places | everywhere(self.store.database.engine, client)


def write_partners(folder: Path) -> Path:
    """Write a partners file with an identity of each kind, and all the files that it names."""
    for name in (LOCKED, "client.pem", "client_stranger.pem"):
        shutil.copy(HERE / name, folder / name)
    (folder / "right").write_text(f"{RIGHT}\n")
    (folder / "wrong").write_text(WRONG)
    lines = []
    for partner_id, files in IDENTITIES.items():
        known = {"secret": SECRET, "ca_bundle": str(AUTHORITY), "client_cert": "client.pem"} | files
        lines.append(f"[partners.{partner_id}]")
        lines += [f"{name} = {json.dumps(value)}" for name, value in known.items()]
    path = folder / "partners.toml"
    path.write_text("\n".join(lines))
    return path


def converse(run: Run, app: Celery) -> None:
    """Let each partner have its jobs, and look into the broker while a call is held."""
    for partner_id in IDENTITIES:
        for number in range(2):
            uid = f"{partner_id}-{number}"
            hand_over(app, order(uid, f"ok-{uid}", partnerId=partner_id))
    conflicting = order("KP-RIGHT-0", "another-token", partnerId="KP-RIGHT")
    hand_over(app, order("HELD", "hold-1", partnerId="KP-RIGHT"))
    eventually(lambda: "HELD" in run.bank.journal.posts_per_uid())
    with run.server.client() as client:
        held = keys_as_text(client)
    assert UNACKED in " ".join(held)
    run.places |= {f"{name} during a call": content for name, content in held.items()}
    run.bank.release("hold-1")
    hand_over(app, conflicting)

    def settled() -> bool:
        rows = run.store.reports.jobs(most=100)
        done = [row for row in rows if row["outcome"] is not None]
        paused = sorted(row.partner_id for row in run.store.partners.all() if row.mode == "paused")
        assert (len(done), paused) == (3, HARMED)
        return bool(run.store.rejected_messages.latest(most=1))

    eventually(settled)


def commands(run: Run, environment: dict[str, str], folder: Path) -> None:
    """Ask everything that tells of partners and jobs; one partner is resumed and fails again."""
    uids = [row["partner_txn_uid"] for row in run.store.reports.jobs(most=100)]
    asked = [
        *((name, uid, form) for name in ("show", "why") for uid in uids for form in FORMS),
        *((name, form) for name in ("list", "stats", "doctor", "rejected") for form in FORMS),
        *(("partners", "list", form) for form in FORMS),
        *(("partners", "resume", name, "--reason", "looked at") for name in HARMED),
        ("actions",),
        ("db", "check"),
        ("--debug", "doctor", "--table"),
        ("--debug", "show", "NOBODY"),
    ]
    typed = {" ".join(words): Command(words, 0) for words in asked}
    heard = run_all(typed, environment, folder)
    run.places |= {f"output of {name}": each.told for name, each in heard.items()}
    assert all(each.code != 70 for each in heard.values())


@pytest.fixture(scope="module", params=KINDS)
def run(
    request: pytest.FixtureRequest,
    databases: Callable[[str], Databases],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Run]:
    """A whole run of a worker at DEBUG against a bank that demands a client certificate."""
    server, folder = databases(request.param), tmp_path_factory.mktemp("password")
    with ExitStack() as stack:
        database = server.create()
        stack.callback(server.drop, database)
        store = Store(open_database(database))
        stack.callback(store.close)
        broker = stack.enter_context(RedisServer(folder / "redis"))
        context = server_context(asks_for_client=True)
        bank = stack.enter_context(Sandbox(secrets={"KP-RIGHT": SECRET}, ssl_context=context))
        environment = QUICK | {
            "KPLUS_HOME": str(folder / "home"),
            "KPLUS_DEADLINE_SECONDS": "30",
            "KPLUS_LEASE_SECONDS": "60",
            "KPLUS_DATABASE_URL": database,
            "KPLUS_BROKER_URL": broker.url,
            "KPLUS_BANK_URL": bank.cancel_url,
            "KPLUS_PARTNERS_FILE": str(write_partners(folder)),
        }
        run = Run(store, broker, bank)
        worker = WorkerProcess(environment, folder / "w", arguments=["--log-level", "debug"])
        stack.callback(worker.close)
        worker.wait_until_ready()
        app = stack.enter_context(Celery("a producer", broker=broker.url, set_as_current=False))
        converse(run, app)
        commands(run, environment, folder / "typed")
        assert worker.stop() == 0
        run.places["log of the worker"] = worker.told()
        run.places["journal of the bank"] = str(bank.journal.entries())
        run.left = traces(PASSWORDS | {"the secret": SECRET}, run.searched())
        yield run


def test_no_password_is_left_in_any_table_key_log_or_output(run: Run) -> None:
    assert run.left == []


def test_the_passwords_were_really_used(run: Run) -> None:
    """Otherwise nothing could have been found."""
    reasons = {row.partner_id: row.reason or "" for row in run.store.partners.all()}
    heard = {
        row["partner_id"]: [each["heard"] for each in file.attempts]
        for row in run.store.reports.jobs(most=100)
        if (file := run.store.reports.file(row["partner_txn_uid"])) and file.attempts
    }

    assert {post.partner_id for post in run.bank.journal.entries()} == {"KP-RIGHT"}
    assert heard["KP-RIGHT"] == ["cancelled"]
    assert {name: heard[name][0] for name in HARMED} == {
        "KP-MIXED-UP": "bad_tls_files",
        "KP-NO-CERTIFICATE": "bad_tls_files",
        "KP-STRANGER": "tls_refused",
        "KP-WRONG": "bad_tls_files",
    }
    assert '"level": "debug"' in run.places["log of the worker"]
    assert "partner_paused" in run.places["log of the worker"]
    doctor = run.places["output of doctor --table"]
    assert "✓ partner KP-RIGHT" in doctor
    assert "✗ partner KP-WRONG" in doctor
    assert "wrong does not open client_key" in doctor
    assert not reasons["KP-STRANGER"] or "unknown_ca" in reasons["KP-STRANGER"]
    assert run.bank.faults == []


@pytest.mark.parametrize("owner", PASSWORDS)
def test_the_search_finds_a_planted_password_in_each_table_key_log_and_output(
    run: Run, owner: str
) -> None:
    """A search that cannot fail proves nothing: each form is planted once, and found."""
    password = {owner: PASSWORDS[owner]}
    hidden = dresses(PASSWORDS[owner])
    for name, form in hidden.items():
        for place in run.places:
            assert f"{owner} in {place}, {name}" in traces(password, {place: f"…{form}…"})
    with run.store.database.engine.begin() as connection:
        for table, column in COLUMNS.items():
            found = connection.execute(
                text(f"UPDATE {table} SET {column} = :form"),  # noqa: S608 - names of our own
                {"form": hidden["base64 of plain, shifted by 1"]},
            )
            assert found.rowcount > 0, table
    with run.server.client() as client:
        plant(client, PASSWORDS[owner])
        seen = traces(password, run.searched())
        client.delete(*PLANTED)

    form = "base64 of plain, shifted by 1"
    assert {f"{owner} in table {table}, {form}" for table in COLUMNS} <= set(seen)
    assert {f"{owner} in key {key}, plain" for key in PLANTED} <= set(seen)

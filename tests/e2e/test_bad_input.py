"""Bad input of every kind: each is named, none is lost, none ends the worker."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.e2e import bad_commands
from tests.e2e.bad_commands import COMMANDS
from tests.e2e.bad_messages import MESSAGES, PARTNER, STORED, Message
from tests.e2e.bad_settings import BAD_SETTINGS
from tests.e2e.bad_worker_settings import BAD_WORKER_SETTINGS
from tests.e2e.batch import Command, Heard, run_all, run_alone
from tests.servers.databases import KINDS, Databases
from tests.servers.waiting import eventually
from tests.servers.workers import WorkerProcess
from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN, HOUSEKEEPING_QUEUE
from worker.broker.keys import UNACKED
from worker.sandbox import Sandbox
from worker.store import Store, open_database
from worker.store.engine.database import AnyRow

pytestmark = [pytest.mark.e2e, pytest.mark.broker]

SECRETS = {PARTNER: "canary-b25lLXBhcnRuZXI", "OTHER": "canary-b3RoZXItcGFydG5lcg"}
GOOD = {"partnerTxnUid": "GOOD", "tokenId": "ok-good", "reference1": "R", "partnerId": PARTNER}
WITH_SECRET = GOOD | {"partnerTxnUid": "GOOD2", "tokenId": "ok-good2", "partnerSecret": "hidden"}


@dataclass
class Bench:
    """One worker, and what it made of the whole table."""

    store: Store
    worker: WorkerProcess
    client: "redis.Redis"
    app: Celery
    bank: Sandbox
    pids: list[int] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def send(self, kwargs: Mapping[str, Any]) -> None:
        self.app.send_task(CANCEL_TOKEN, kwargs=dict(kwargs), queue=CANCEL_QUEUE)

    def wait_for(self, uid: str) -> None:
        self.worker.wait_until(lambda: self.outcome(uid) == "cancelled")

    def outcome(self, uid: str) -> str | None:
        file = self.store.reports.file(uid)
        return file.job["outcome"] if file else None

    def is_quiet(self) -> bool:
        """Tell whether nothing waits in the broker, and nothing is on its way through."""
        queues = (CANCEL_QUEUE, HOUSEKEEPING_QUEUE, UNACKED)
        return not any(self.client.exists(queue) for queue in queues)

    def kept(self) -> list[dict[str, Any]]:
        return [row._asdict() for row in self.store.rejected_messages.latest(most=1000)]


@pytest.fixture(scope="module", params=KINDS)
def bench(
    request: pytest.FixtureRequest,
    databases: Callable[[str], Databases],
    broker_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bench]:
    """A worker of two partners that has been sent every bad message, and two good ones after."""
    server, folder = databases(request.param), tmp_path_factory.mktemp("bad")
    roster = [f"[partners.{name}]\nsecret = '{secret}'\n" for name, secret in SECRETS.items()]
    (folder / "partners.toml").write_text("".join(roster))
    with ExitStack() as stack:
        database = server.create()
        stack.callback(server.drop, database)
        store = Store(open_database(database))
        stack.callback(store.close)
        client = stack.enter_context(redis.Redis.from_url(broker_server))
        client.flushdb()
        stack.callback(client.flushdb)
        bank = stack.enter_context(Sandbox(secrets=SECRETS))
        environment = {
            "KPLUS_HOME": str(folder / "home"),
            "KPLUS_DATABASE_URL": database,
            "KPLUS_BROKER_URL": broker_server,
            "KPLUS_BANK_URL": bank.cancel_url,
            "KPLUS_PARTNERS_FILE": str(folder / "partners.toml"),
        }
        worker = WorkerProcess(environment, folder / "worker")
        stack.callback(worker.close)
        app = stack.enter_context(Celery("a producer", broker=broker_server, set_as_current=False))
        worker.wait_until_ready()
        bench = Bench(store, worker, client, app, bank)
        _run_through(bench)
        yield bench


def _run_through(bench: Bench) -> None:
    bench.pids.append(bench.worker.pid)
    bench.send(STORED)
    bench.wait_for("STORED")
    for number, message in enumerate(MESSAGES.values()):
        message.send(bench.app, bench.client, _trace(number))
    bench.send(GOOD)
    bench.send(WITH_SECRET)
    bench.wait_for("GOOD")
    bench.wait_for("GOOD2")
    bench.worker.wait_until(bench.is_quiet)
    bench.pids.append(bench.worker.pid)
    bench.rows = bench.kept()


def _trace(number: int) -> str:
    return f"<trace {number:03}>"


def _found(bench: Bench, number: int, message: Message) -> list[dict[str, Any]]:
    return [
        row
        for row in bench.rows
        if _trace(number) in row["body"]
        or (message.exact == row["body"] and message.reason == row["reason"])
    ]


@pytest.mark.parametrize(("number", "message"), list(enumerate(MESSAGES.values())), ids=MESSAGES)
def test_a_bad_message_is_kept_once_with_its_reason_and_what_is_wrong(
    bench: Bench, number: int, message: Message
) -> None:
    rows = _found(bench, number, message)

    assert [(row["reason"], row["deliveries"]) for row in rows] == [(message.reason, 1)]
    for word in message.says:
        assert word in rows[0]["detail"]
    assert rows[0]["detail"].replace("\n", " ").isprintable()


def test_of_all_kinds_of_bad_messages_none_is_lost(bench: Bench) -> None:
    kept = bench.kept()

    assert len(MESSAGES) >= 40
    assert len(kept) == len(MESSAGES)
    assert "hidden" not in str(kept)


def test_no_bad_message_becomes_a_job_or_a_call(bench: Bench) -> None:
    stored = {row["partner_txn_uid"] for row in bench.store.reports.jobs(most=100)}

    assert stored == {"STORED", "GOOD", "GOOD2"}
    assert bench.bank.journal.posts_per_uid() == dict.fromkeys(stored, 1)


def test_the_same_worker_cancels_good_orders_after_all_the_bad_ones(bench: Bench) -> None:
    """One process for the whole table: no message ended it, and none stumbled."""
    assert bench.worker.running
    assert len(set(bench.pids)) == 1
    assert bench.outcome("GOOD") == bench.outcome("GOOD2") == "cancelled"
    assert "Traceback" not in bench.worker.told()
    assert '"exception"' not in bench.worker.told()


def test_nothing_of_them_stays_in_the_broker(bench: Bench) -> None:
    eventually(bench.is_quiet)


def test_an_order_for_a_partner_that_nobody_knows_waits_with_the_reason(bench: Bench) -> None:
    """It is well-formed, and another worker may know the partner: a job, and no rejection."""
    bench.send(GOOD | {"partnerTxnUid": "STRANGER", "partnerId": "STRANGER"})

    def strangers() -> list[AnyRow]:
        rows = bench.store.partners.all()
        return [row for row in rows if row.partner_id == "STRANGER"]

    eventually(strangers)
    (row,) = strangers()
    file = bench.store.reports.file("STRANGER")

    assert (row.partner_id, row.mode) == ("STRANGER", "paused")
    assert "credentials" in row.reason
    assert file is not None
    assert (file.job["state"], file.job["attempts"]) == ("retryable", 0)


TYPED = COMMANDS | BAD_SETTINGS | BAD_WORKER_SETTINGS
GOOD_ONES = {
    "first an order": Command(
        ("enqueue", "--uid", bad_commands.STORED, "--token", "T1", "--reference1", "R1"), 0
    ),
    "after all a look": Command(("show", bad_commands.STORED, "--json"), 0),
}


@dataclass(frozen=True)
class Desk:
    """Where all the commands were typed, and what came of them."""

    database: str
    environment: Mapping[str, str]
    heard: Mapping[str, Heard]


@pytest.fixture(scope="module")
def desk(sqlite_server: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """All bad commands and settings, between two good commands."""
    database, folder = sqlite_server.create(), tmp_path_factory.mktemp("desk")
    environment = {
        "KPLUS_HOME": str(folder / "home"),
        "KPLUS_DATABASE_URL": database,
        "KPLUS_BROKER_URL": "redis://127.0.0.1:1/0",
        "KPLUS_PARTNER_ID": PARTNER,
        "KPLUS_PARTNER_SECRET": SECRETS[PARTNER],
    }
    first, last = GOOD_ONES.items()
    commands = dict([first, *TYPED.items(), last])
    yield Desk(database, environment, run_all(commands, environment, folder / "typed"))
    sqlite_server.drop(database)


@pytest.mark.parametrize("name", TYPED)
def test_a_bad_command_or_setting_is_named_under_its_exit_code(desk: Desk, name: str) -> None:
    heard, command = desk.heard[name], TYPED[name]

    assert heard.code == command.code, heard.told
    for word in command.says:
        assert word in heard.told
    assert heard.err
    assert "Traceback" not in heard.told
    assert heard.err.replace("\n", "").isprintable()
    assert SECRETS[PARTNER] not in heard.told


def test_of_commands_and_of_settings_more_than_forty_kinds_are_tried() -> None:
    assert len(COMMANDS) >= 40
    assert len(BAD_SETTINGS) >= 40
    assert len(BAD_WORKER_SETTINGS) >= 60


def test_good_commands_before_and_after_the_bad_ones_are_done(desk: Desk) -> None:
    """Otherwise the exit codes in between would prove nothing."""
    assert {name: desk.heard[name].code for name in GOOD_ONES} == dict.fromkeys(GOOD_ONES, 0)


def test_no_bad_command_or_setting_stores_a_job_or_rests_a_partner(desk: Desk) -> None:
    store = Store(open_database(desk.database))
    stored = [row["partner_txn_uid"] for row in store.reports.jobs(most=100)]
    kept = [row.reason for row in store.rejected_messages.latest(most=100)]
    resting = list(store.partners.all())
    store.close()

    assert stored == [bad_commands.STORED]
    assert kept == ["conflict"]
    assert resting == []


@pytest.mark.parametrize(
    "name",
    ["list since before the calendar", "show an unknown uid", "a lease as long as the call"],
)
def test_a_process_of_its_own_hears_the_same(desk: Desk, tmp_path: Path, name: str) -> None:
    """The others share one process; users do not."""
    assert run_alone(TYPED[name], desk.environment, tmp_path / "alone") == desk.heard[name]

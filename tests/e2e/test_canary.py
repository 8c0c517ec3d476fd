"""Secrets that are really used are found nowhere afterwards: no row, no key, no log, no output."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from celery import Celery
from sqlalchemy import delete, make_url

from tests.e2e import hostile_bodies
from tests.e2e.batch import Command, run_all
from tests.e2e.canaries import PLANTED, dresses, everywhere, keys_as_text, plant, traces
from tests.e2e.producers import QUICK, hand_over, order
from tests.servers.brokers import RedisServer
from tests.servers.databases import KINDS, Databases
from tests.servers.receivers import OLD_SECRET, SECRET, Answer, Post, Receiver
from tests.servers.waiting import eventually
from tests.servers.workers import WorkerProcess
from worker.broker.app import CANCEL_QUEUE, HOUSEKEEPING_QUEUE
from worker.broker.keys import UNACKED
from worker.sandbox import Sandbox
from worker.store import RejectedMessage, Store, open_database
from worker.store.schema.tables import rejected_messages

pytestmark = [pytest.mark.e2e, pytest.mark.broker]

SECRETS = {
    "KP-REAL": "canary+c2VjcmV0/b2Yt(dGhlLXBhcnRuZXI)",
    "KP-ODD": 'c@n "odd" \\sec/ret\\ <&> 100% \'(CANARY12)',
    "KP-WRONG": "canary/dGhlLWJhbmsta25vd3MtYW5vdGhlcg==",
}
TOKENS = (
    *("ok-1", "paid-1", "unknown-1", "garbage-1", "drop-1", "http500-1"),
    *("echosecret-1", "echosecretdesc-1", "echosecretpage-1"),
)


@dataclass
class Run:
    """Everything that a run with secrets leaves behind."""

    secrets: dict[str, str]
    store: Store
    server: RedisServer
    bank: Sandbox
    receiver: Receiver
    places: dict[str, str] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    """What stood in the broker before any worker had begun."""
    left: list[str] = field(default_factory=list)
    """The traces of secrets after the run, before any test has planted one."""

    def searched(self) -> dict[str, str]:
        """Return all places as they are now, by name."""
        with self.server.client() as client:
            return self.places | everywhere(self.store.database.engine, client)


class Play:
    """The run itself."""

    def __init__(self, run: Run, environment: dict[str, str], folder: Path) -> None:
        self.run, self.bank = run, run.bank
        self.environment, self.folder = environment, folder
        self.workers: list[WorkerProcess] = []

    def worker(self) -> WorkerProcess:
        folder = self.folder / f"worker-{len(self.workers)}"
        self.workers.append(
            WorkerProcess(self.environment, folder, arguments=["--log-level", "debug"])
        )
        self.workers[-1].wait_until_ready()
        return self.workers[-1]

    def conversations(self, app: Celery) -> None:
        """Hear everything that the bank can say, and be sent what should not be sent."""
        for token in TOKENS:
            hand_over(app, order(f"REAL-{token}", token, partnerId="KP-REAL"))
        for owner, secret in SECRETS.items():
            told = order(f"{owner}-told", "ok-told", partnerId=owner, partnerSecret=secret)
            hand_over(app, told)
            hand_over(app, told | {"tokenId": "ok-conflict", "note": secret})
        for token in ("echosecret-2", "echosecretdesc-2", "echosecretpage-2"):
            hand_over(app, order(f"ODD-{token}", token, partnerId="KP-ODD"))
        with self.run.server.client() as client:
            for secret in SECRETS.values():
                client.lpush(CANCEL_QUEUE, *hostile_bodies.bodies(secret))
            self.run.before = keys_as_text(client)
        self.worker()
        self._wait(len(TOKENS) + 3 + 3, UNACKED)

    def crash(self, app: Celery) -> None:
        """Be killed in the middle of a call; another worker goes on."""
        hand_over(app, order("CRASHED", "hold-1", partnerId="KP-REAL"))
        eventually(lambda: "CRASHED" in self.bank.journal.posts_per_uid())
        self.workers[-1].kill()
        self.bank.release("hold-1")
        self.worker()
        self._wait(len(TOKENS) + 3 + 3 + 1)

    def commands(self) -> None:
        """Ask everything that can be asked, while the worker runs."""
        uids = [row["partner_txn_uid"] for row in self.run.store.reports.jobs(most=100)]
        asked = [
            *(("show", uid, "--json") for uid in uids),
            *(("show", uid, "--table") for uid in uids[:3]),
            *((name, form) for name in READING for form in ("--json", "--table")),
            ("rejected", "--table", "--bodies", "--limit", "1000"),
            ("rejected", "--json", "--limit", "1000"),
            ("partners", "list"),
            ("outbox", "list", "--json"),
            ("outbox", "list", "--table"),
            ("export",),
            ("db", "check"),
            ("partners", "resume", "KP-WRONG", "--reason", "looked at"),
            ("enqueue", "--uid", "CRASHED", "--token", "T", "--reference1", "R", *REAL),
            ("--debug", "enqueue", "--uid", "", "--token", "T", "--reference1", "R"),
        ]
        typed = {" ".join(words): Command(words, 0) for words in asked}
        for name, settings in self._refused().items():
            typed[name] = Command(("--debug", "list"), 0, settings=settings)
        lonely = self._refused()["a database that lets nobody in"]
        typed["doctor without a database"] = Command(("doctor",), 0, settings=lonely)
        heard = run_all(typed, self.environment, self.folder / "typed")
        self.run.places |= {f"output of {name}": each.told for name, each in heard.items()}
        assert all(each.code != 70 for each in heard.values())

    def _refused(self) -> dict[str, dict[str, str | None]]:
        """Return settings that carry a secret and cannot be used."""
        real, odd = SECRETS["KP-REAL"], SECRETS["KP-ODD"]
        alone = {"KPLUS_PARTNERS_FILE": None, "KPLUS_PARTNER_ID": "P"}
        return {
            "a database that lets nobody in": {
                "KPLUS_DATABASE_URL": f"postgresql+psycopg://u:{self.run.secrets['wrong']}@127.0.0.1:1/x"
            },
            "a database that is none": {"KPLUS_DATABASE_URL": f"mysql://u:{real}@h/x"},
            "a broker that is none": {"KPLUS_BROKER_URL": f"http://:{real}@h"},
            "a secret of two lines": alone | {"KPLUS_PARTNER_SECRET": f"{odd}\n{real}"},
            "a secret without a partner": {"KPLUS_PARTNER_SECRET": real},
            "a mistyped name": {"KPLUS_PARTNER_SECRTE": real},
            "a number": {"KPLUS_MAX_ATTEMPTS": real},
            "a secret of no webhook": {"KPLUS_WEBHOOK_URL": None},
            "a proxy that is none": {"KPLUS_PROXY_URL": f"socks5://u:{real}@h"},
            "a bank with a password": {"KPLUS_BANK_URL": f"https://u:{real}@h/x"},
            "a bank behind a proxy without TLS": {"KPLUS_NO_PROXY": None},
            "a secret that is none": {"KPLUS_WEBHOOK_SECRET": f"whsec_{real}"},
        }

    def end(self) -> None:
        """Stop, and take down what was written and what is left."""
        # A receiver that has just refused an event rests for a while before it is told the next.
        eventually(
            lambda: (
                {self.run.receiver.answer(post)[0] for post in self.run.receiver.posts}
                == {200, 500}
            ),
            saying=self.workers[-1].told,
        )
        assert self.workers[-1].stop() == 0
        for number, worker in enumerate(self.workers):
            self.run.places[f"log of worker {number}"] = worker.told()
        self.run.places["journal of the bank"] = str(self.bank.journal.entries())
        self.run.left = traces(self.run.secrets, self.run.searched())

    def close(self) -> None:
        """Leave nothing running, whatever happened."""
        for worker in self.workers:
            worker.close()

    def _wait(self, jobs: int, *others: str) -> None:
        """Return once all is settled but the job of the partner with the wrong secret."""

        def settled() -> bool:
            with self.run.server.client() as client:
                waits = client.exists(CANCEL_QUEUE, HOUSEKEEPING_QUEUE, *others) > 0
            rows = self.run.store.reports.jobs(most=100)
            open_ones = [row["partner_txn_uid"] for row in rows if row["outcome"] is None]
            assert (waits, len(rows), open_ones) == (False, jobs, ["KP-WRONG-told"])
            return True

        eventually(settled)


REAL = ("--partner", "KP-REAL")
READING = ("list", "stats", "rejected", "doctor")
HOOK = {
    "webhook": SECRET.removeprefix("whsec_"),
    "webhook before": OLD_SECRET.removeprefix("whsec_"),
    "path of the webhook": "canary-dGhlLXBhdGgtb2YtdGhlLXdlYmhvb2s",
}

WAY = {
    "header of a gateway": "canary-aGVhZGVyLW9mLWEtZ2F0ZXdheQ",
    "proxy": "canary-cGFzc3dvcmQtb2YtYS1wcm94eQ",
}


class Echo:
    """
    Answers as a receiver that sends its secret to every caller, and refuses one event.

    It refuses the first event that comes, again and again, and takes all others. After several
    refusals in a row the worker would leave it alone for longer than a test waits.
    """

    def __init__(self) -> None:
        self._refused: dict[str, str] = {}

    def __call__(self, post: Post) -> Answer:
        status = 500 if self._refused.setdefault("id", post.id) == post.id else 200
        return status, {"X-Secret": SECRET, "Location": f"/{SECRET}"}


@pytest.fixture(scope="module", params=KINDS)
def run(
    request: pytest.FixtureRequest,
    databases: Callable[[str], Databases],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Run]:
    """A whole run on real secrets: calls, faults, hostile messages, a crash, every command."""
    server, folder = databases(request.param), tmp_path_factory.mktemp("canary")
    for name, secret in (SECRETS | WAY).items():
        (folder / name).write_text(f"{secret}\n")
    gateway = "headers = { x-gateway = { file = 'header of a gateway' } }"
    roster = [f"[partners.{name}]\nsecret_file = '{name}'\n{gateway}\n" for name in SECRETS]
    (folder / "partners.toml").write_text("".join(roster))
    with ExitStack() as stack:
        database = server.create()
        stack.callback(server.drop, database)
        store = Store(open_database(database))
        stack.callback(store.close)
        broker = stack.enter_context(RedisServer(folder / "redis"))
        receiver = stack.enter_context(Receiver())
        receiver.answer = Echo()
        expected = SECRETS | {"KP-WRONG": "something else"}
        bank = stack.enter_context(Sandbox(secrets=expected))
        environment = QUICK | {
            "KPLUS_HOME": str(folder / "home"),
            "KPLUS_DATABASE_URL": database,
            "KPLUS_BROKER_URL": broker.url,
            "KPLUS_BANK_URL": bank.cancel_url,
            "KPLUS_PARTNERS_FILE": str(folder / "partners.toml"),
            # Used by none of these calls, and known to all of these processes.
            "KPLUS_PROXY_URL": f"http://user:{WAY['proxy']}@127.0.0.1:9",
            "KPLUS_NO_PROXY": "127.0.0.1",
            "KPLUS_WEBHOOK_URL": f"{receiver.url}?{HOOK['path of the webhook']}",
            "KPLUS_WEBHOOK_SECRET": SECRET,
            "KPLUS_WEBHOOK_PREVIOUS_SECRET": OLD_SECRET,
            "KPLUS_OUTCOME_TASK": "orders.told",
            "KPLUS_OUTCOME_QUEUE": "orders",
        }
        passwords = {
            "database": make_url(database).password,
            "broker": broker.address.password,
            "wrong": "canary-b2YtYS13cm9uZy1kYXRhYmFzZQ",
        }
        known = SECRETS | HOOK | WAY | {owner: value for owner, value in passwords.items() if value}
        play = Play(Run(known, store, broker, bank, receiver), environment, folder)
        stack.callback(play.close)
        app = stack.enter_context(Celery("a producer", broker=broker.url, set_as_current=False))
        play.conversations(app)
        play.crash(app)
        play.commands()
        play.end()
        yield play.run


def test_no_secret_is_left_in_any_table_key_log_or_output(run: Run) -> None:
    assert run.left == []


def test_a_message_with_a_secret_stood_in_the_broker_and_is_gone(run: Run) -> None:
    """What a producer itself writes there is its own; it leaves with the message."""
    found = traces(SECRETS, run.before)

    assert {trace.split(" ")[0] for trace in found} == set(SECRETS)
    assert not [trace for trace in run.left if " in key " in trace]


def test_the_secrets_were_really_used(run: Run) -> None:
    """Otherwise nothing could have been found."""
    posts = run.bank.journal.entries()
    trusted = {entry.partner_id for entry in posts if entry.credentials_ok}
    files = {
        row["partner_txn_uid"]: run.store.reports.file(row["partner_txn_uid"])
        for row in run.store.reports.jobs(most=100)
    }
    heard = {each["heard"] for file in files.values() if file for each in file.attempts}
    kept = sum(row.deliveries for row in run.store.rejected_messages.latest(most=1000))
    # Whichever of them it was that met it.
    log = "".join(text for name, text in run.places.items() if name.startswith("log of worker"))
    statuses = {run.receiver.answer(post)[0] for post in run.receiver.posts}

    assert trusted == {"KP-REAL", "KP-ODD"}
    assert run.bank.journal.counts()["wrong_credentials"] in {1, 2}  # again once resumed
    assert {"cancelled", "paid", "unreadable", "http_500", "lease_ended"} <= heard
    assert files.keys() >= {"CRASHED", *(f"{owner}-told" for owner in SECRETS)}
    bodies = sum(len(hostile_bodies.bodies(secret)) for secret in SECRETS.values())
    # One conflict for each partner from a message, and one from the command line.
    assert kept == bodies + len(SECRETS) + 1
    assert '"level": "debug"' in log
    assert all(p.signed_with(SECRET) and p.signed_with(OLD_SECRET) for p in run.receiver.posts)
    assert statuses == {200, 500}
    assert "outcome_not_delivered" in log
    assert "secret_in_message" in log


@pytest.mark.parametrize("owner", SECRETS)
def test_the_search_finds_each_form_of_a_secret_in_each_kind_of_place(run: Run, owner: str) -> None:
    """A search that cannot fail proves nothing: each form is planted once, and found."""
    hidden = dresses(SECRETS[owner])
    for number, (name, form) in enumerate(hidden.items()):
        found = traces({owner: SECRETS[owner]}, {"a log": f"…{form}…"})
        assert f"{owner} in a log, {name}" in found
        run.store.rejected_messages.keep(RejectedMessage(f"planted-{number}", "", body=f"…{form}…"))
    with run.server.client() as client:
        plant(client, SECRETS[owner])
        seen = traces({owner: SECRETS[owner]}, run.searched())
        client.delete(*PLANTED)
    run.store.database.run(
        delete(rejected_messages).where(rejected_messages.c.reason.startswith("planted"))
    )

    assert {f"{owner} in table rejected_messages, {name}" for name in hidden} <= set(seen)
    assert {f"{owner} in key {key}, plain" for key in PLANTED} <= set(seen)

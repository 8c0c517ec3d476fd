"""The producers of docs/how-to/producers.md, run as they stand, where their runtime is at hand."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import redis
from jsonschema import Draft7Validator
from sqlalchemy import create_engine, text

from tests.servers.missing import REQUIRE, unavailable
from tests.servers.rabbitmq import RabbitServer
from tests.servers.schema import ROOT
from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import PARTNER_ID, StartWorker, clean_environment
from tools import asyncapi
from worker.broker.app import CANCEL_QUEUE
from worker.broker.embedded.server import ServerAddress
from worker.broker.keys import UNACKED
from worker.domain.orders import Order
from worker.sandbox import Sandbox
from worker.store import Store

EXAMPLES = ROOT / "docs" / "how-to" / "examples"
UID = "RGH001030118001"
TOKEN = "KP2XXX00003315900BBC"
REFERENCE = "คำสั่งซื้อ 7"

one_kind = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs an example, and a command that succeeds where it can be run."""

    program: str
    probe: tuple[str, ...]


PYTHON = Runtime(sys.executable, (sys.executable, "--version"))
NODE = "process.exit(URL.canParse ? 0 : 1)"
RUNTIMES = {
    "from_celery.py": PYTHON,
    "from_node.mjs": Runtime("node", ("node", "-e", NODE)),
    "from_php.php": Runtime("php", ("php", "-r", "exit((int) (PHP_VERSION_ID < 70400));")),
    "from_shell.sh": Runtime(
        "sh", ("sh", "-c", "redis-cli --version && test -r /proc/sys/kernel/random/uuid")
    ),
}
"""The examples that know nothing but the contract."""
NEEDS = {
    "from_node.mjs": "node 18.17",
    "from_php.php": "php 7.4",
    "from_shell.sh": "redis-cli, Linux",
}

any_language = pytest.mark.parametrize("example", RUNTIMES)
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def broker_env(url: str) -> dict[str, str]:
    """Return a broker's address as the examples take it."""
    parts = urlsplit(url)
    if parts.scheme != "redis" or parts.username:
        unavailable("a Redis without TLS and user names", "another is given", installable=False)
    return {
        "KPLUS_BROKER_URL": url,
        "REDIS_HOST": str(parts.hostname),
        "REDIS_PORT": parts.netloc.rpartition(":")[2],
        "REDIS_DB": parts.path.strip("/") or "0",
        "REDISCLI_AUTH": unquote(parts.password or ""),
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs an example to its end, in an empty folder, with nothing but the environment given."""

    def start(
        example: str, *arguments: str, env: dict[str, str], told: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        runtime = RUNTIMES.get(example, PYTHON)
        _probe(example, runtime)
        return subprocess.run(
            [runtime.program, str(EXAMPLES / example), *arguments],
            cwd=tmp_path,
            env=clean_environment() | env,
            input=told,
            text=True,
            capture_output=True,
            check=False,
            timeout=LIMIT,
        )

    return start


def _probe(example: str, runtime: Runtime) -> None:
    if shutil.which(runtime.probe[0]) is not None:
        tried = subprocess.run(runtime.probe, capture_output=True, check=False, timeout=LIMIT)
        if tried.returncode == 0:
            return
    reason = f"needs {NEEDS[example]}, which is not on the PATH"
    unavailable(f"docs/how-to/examples/{example}", reason, installable=False)


def good(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def queue(broker_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(broker_url) as client:
        yield client


def nothing_waits(queue: "redis.Redis") -> bool:
    return not queue.exists(UNACKED, CANCEL_QUEUE)


@any_language
@one_kind
def test_a_message_sent_twice_ends_cancelled_with_one_post(
    example: str,
    run: Run,
    worker_env: dict[str, str],
    worker_process: StartWorker,
    queue: "redis.Redis",
    sandbox: Sandbox,
    store: Store,
) -> None:
    """And the same uid with other content changes nothing, and is kept."""
    env = broker_env(worker_env["KPLUS_BROKER_URL"])
    for _ in range(2):
        good(run(example, UID, TOKEN, REFERENCE, env=env))
    worker_process(worker_env)
    eventually(lambda: store.reports.stats().states["succeeded"] == 1)
    good(run(example, UID, "ANOTHER-TOKEN", REFERENCE, env=env))
    eventually(lambda: store.rejected_messages.counts() == {"conflict": 1})
    eventually(lambda: nothing_waits(queue))
    file = store.reports.file(UID)
    assert file is not None
    assert (file.job["outcome"], file.job["token_id"]) == ("cancelled", TOKEN)
    assert (file.job["reference1"], file.job["partner_id"]) == (REFERENCE, PARTNER_ID)
    assert sandbox.journal.posts_per_uid() == {UID: 1}


@any_language
def test_a_message_is_what_the_document_says(
    example: str, run: Run, broker_url: str, queue: "redis.Redis"
) -> None:
    good(run(example, UID, TOKEN, REFERENCE, env=broker_env(broker_url)))
    (stored,) = [json.loads(item) for item in queue.lrange(CANCEL_QUEUE, 0, -1)]
    described = json.loads(asyncapi.document())["components"]["messages"]["order"]
    Draft7Validator(described["headers"]).validate(stored["headers"])
    body = _body(stored)
    Draft7Validator(described["payload"]).validate(body)
    assert body[1] == {"partnerTxnUid": UID, "tokenId": TOKEN, "reference1": REFERENCE}
    assert stored["content-type"] == described["contentType"]


def _body(stored: dict[str, Any]) -> Any:
    packed = stored["properties"].get("body_encoding") == "base64"
    return json.loads(base64.b64decode(stored["body"]) if packed else stored["body"])


@any_language
@pytest.mark.parametrize("broker", ["away", "refuses the password", "no address"])
def test_a_broker_that_takes_nothing_is_told(
    example: str, broker: str, run: Run, broker_url: str, queue: "redis.Redis"
) -> None:
    """Whoever sent it knows that it is to be sent again; the password is in no word of it."""
    parts = urlsplit(ServerAddress.choose().url if broker == "away" else broker_url)
    port = "none" if broker == "no address" else parts.port
    url = parts._replace(netloc=f":wrong-canary@{parts.hostname}:{port}").geturl()
    done = run(example, UID, TOKEN, REFERENCE, env=broker_env(url))
    assert done.returncode != 0
    assert done.stderr
    assert "wrong-canary" not in done.stdout + done.stderr
    assert queue.llen(CANCEL_QUEUE) == 0


@pytest.mark.parametrize("text", ['with "quotes"', "with \\ backslash", "with a\nnew line"])
def test_the_shell_sends_no_broken_json(
    text: str, run: Run, broker_url: str, queue: "redis.Redis"
) -> None:
    done = run("from_shell.sh", UID, TOKEN, text, env=broker_env(broker_url))
    assert (done.returncode, queue.llen(CANCEL_QUEUE)) == (2, 0)


def test_a_language_that_is_not_there_is_told_and_fails_nobody(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not even where servers are required: nobody can be made to have PHP."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(REQUIRE, "1")
    reason = r"at hand: docs/how-to/examples/from_php.php: needs"
    with pytest.raises(pytest.skip.Exception, match=reason):
        run("from_php.php", UID, TOKEN, REFERENCE, env={})


@one_kind
def test_a_plain_celery_client_may_come_first_on_rabbitmq(
    run: Run,
    worker_env: dict[str, str],
    worker_process: StartWorker,
    rabbit: RabbitServer,
    sandbox: Sandbox,
    store: Store,
) -> None:
    good(run("from_celery.py", UID, TOKEN, REFERENCE, env={"KPLUS_BROKER_URL": rabbit.url}))
    assert rabbit.is_quorum(CANCEL_QUEUE)
    worker_process(worker_env | {"KPLUS_BROKER_URL": rabbit.url})
    eventually(lambda: store.reports.stats().states["succeeded"] == 1)
    assert sandbox.journal.posts_per_uid() == {UID: 1}


@pytest.fixture
def orders(database: str) -> Iterator[Callable[[str], str]]:
    """A table of the order system's own in the same database; the call tells an order's status."""
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id varchar PRIMARY KEY, status varchar)"))
        connection.execute(text("INSERT INTO orders VALUES ('ORDER-1', 'open')"))
        if engine.dialect.name == "postgresql":
            connection.execute(text("GRANT SELECT, UPDATE ON orders TO PUBLIC"))

    def status(order: str) -> str:
        with engine.connect() as connection:
            asked = text("SELECT status FROM orders WHERE id = :order")
            return str(connection.scalar(asked, {"order": order}))

    yield status
    engine.dispose()


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_row_first_ends_cancelled_with_one_post(
    run: Run,
    worker_env: dict[str, str],
    worker_process: StartWorker,
    queue: "redis.Redis",
    sandbox: Sandbox,
    store: Store,
    orders: Callable[[str], str],
) -> None:
    """One order, one in the order system's own transaction, and a list."""
    env = {name: value for name, value in worker_env.items() if name != "KPLUS_PARTNER_SECRET"}
    for status in ("accepted", "duplicate"):
        told = good(run("from_python.py", "UID1", TOKEN, REFERENCE, env=env))
        assert told == f"{status} pending None\n"
    good(run("from_a_transaction.py", "UID2", "TOKEN2", "ORDER-1", env=env))
    told = good(run("from_a_list.py", env=env, told=LINES))
    assert [line.split()[:2] for line in told.splitlines()] == UNFIT
    assert orders("ORDER-1") == "cancelled"
    worker_process(worker_env)
    eventually(lambda: store.reports.stats().states["succeeded"] == 3)
    eventually(lambda: nothing_waits(queue))
    files = [store.reports.file(uid) for uid in ("UID1", "UID2", "UID3")]
    assert [file.job["outcome"] for file in files if file] == ["cancelled"] * 3
    assert sandbox.journal.posts_per_uid() == {"UID1": 1, "UID2": 1, "UID3": 1}


LINES = """
{"partnerTxnUid": "UID3", "tokenId": "TOKEN3", "reference1": "ORDER-3"}
{"partnerTxnUid": "UID3", "tokenId": "TOKEN3", "reference1": "ORDER-3"}
{"partnerTxnUid": "UID4", "reference1": "ORDER-4"}
{"partnerTxnUid": "UID3", "tokenId": "ANOTHER", "reference1": "ORDER-3"}
""".lstrip()
USED = Order(
    partner_txn_uid="USED", partner_id=PARTNER_ID, token_id=TOKEN, reference1=REFERENCE
).row()
UNFIT = [["UID4", "invalid"], ["UID3", "conflict"]]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("UID2", "TOKEN2", "NO-SUCH"), "no order NO-SUCH"),
        (("USED", "TOKEN2", "ORDER-1"), "USED was used for another token"),
    ],
)
def test_an_order_and_its_job_are_kept_both_or_neither(
    arguments: tuple[str, ...],
    reason: str,
    run: Run,
    worker_env: dict[str, str],
    store: Store,
    orders: Callable[[str], str],
) -> None:
    store.jobs.accept(USED, hinted=True)
    done = run("from_a_transaction.py", *arguments, env=worker_env)
    assert done.returncode == 1
    assert reason in done.stderr
    assert orders("ORDER-1") == "open"
    assert store.reports.file("UID2") is None


@one_kind
def test_a_conflict_is_told(run: Run, worker_env: dict[str, str], store: Store) -> None:
    store.jobs.accept(USED, hinted=True)
    done = run("from_python.py", "USED", "ANOTHER", REFERENCE, env=worker_env)
    assert done.returncode == 1
    assert "that job stands" in done.stderr
    assert store.rejected_messages.counts() == {"conflict": 1}

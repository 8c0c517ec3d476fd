"""What README.md promises, one test each, on real parts: store, bank, broker, composition root."""

import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from tests.e2e.canaries import keys_as_text, tables_as_text, traces
from tests.integration.stock import ANSWERED, PAID
from tests.servers.brokers import RedisServer
from tests.servers.schema import ROOT
from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import PARTNER_ID, SECRET
from worker.broker.app import CANCEL_QUEUE
from worker.broker.hints import Hints
from worker.config.settings import GivenSettings
from worker.enqueue import Producer
from worker.jobs.attempt import attempt
from worker.jobs.context import Result
from worker.jobs.sweep import SweepResult, sweep
from worker.process.tasks import handle_message
from worker.runtime import Runtime, create_celery
from worker.sandbox import Sandbox
from worker.store import Claim, Status

UID = "UID1"
NO_TIME = timedelta(0)


class Parts:
    """A worker's and a producer's parts, put together as in production, in this process."""

    def __init__(self, settings: GivenSettings) -> None:
        self.settings = settings
        self.runtime = Runtime(settings)
        self.producer = Producer(settings)
        url = settings.broker_url.get_secret_value() if settings.broker_url else ""
        self._app = create_celery(settings, url=url)
        self._hints = Hints(self._app)
        self.broker = redis.Redis.from_url(url)

    def close(self) -> None:
        self.broker.close()
        self._app.close()
        self.producer.close()
        self.runtime.close()

    def order(self, token: str, uid: str = UID) -> Status:
        order = {"partner_txn_uid": uid, "token_id": token, "reference1": "R"}
        return self.producer.enqueue(order).status

    def attempt(self, uid: str = UID) -> Result:
        return attempt(uid, self.runtime.attempt_context)

    def sweep(self) -> SweepResult:
        """Make one pass that takes every hint for a lost one."""
        return sweep(replace(self.runtime.sweep(self._hints), hint_again_after=NO_TIME))

    def fall_silent(self, uid: str = UID) -> Claim:
        """Claim a job as a worker that is killed at once."""
        claim = self.runtime.store.jobs.claim(uid, lease=NO_TIME, roster=self.runtime.roster)
        assert claim is not None
        return claim

    def job(self, uid: str = UID) -> dict[str, Any]:
        file = self.runtime.store.reports.file(uid)
        assert file is not None
        return file.job

    def attempts(self, uid: str = UID) -> list[dict[str, Any]]:
        file = self.runtime.store.reports.file(uid)
        assert file is not None
        return file.attempts

    def finish(self, uid: str = UID) -> str:
        """Look at the job, and sweep, until it is final; return its outcome."""

        def look() -> str | None:
            self.attempt(uid)
            self.sweep()
            outcome: str | None = self.job(uid)["outcome"]
            return outcome

        return eventually(look) or ""


MakeParts = Callable[..., Parts]


@pytest.fixture
def make_parts(database: str, sandbox: Sandbox, tmp_path: Path) -> Iterator[MakeParts]:
    made: list[Parts] = []

    def make(broker_url: str) -> Parts:
        settings = GivenSettings(
            home=tmp_path / "home",
            database_url=SecretStr(database),
            broker_url=SecretStr(broker_url),
            bank_url=sandbox.cancel_url,
            partner_id=PARTNER_ID,
            partner_secret=SecretStr(SECRET),
            max_attempts=4,
            backoff_base_seconds=0.02,
            backoff_cap_seconds=0.02,
            cooldown_base_seconds=0.02,
            cooldown_cap_seconds=0.02,
        )
        made.append(Parts(settings))
        return made[-1]

    yield make
    for parts in made:
        parts.close()


@pytest.fixture
def parts(make_parts: MakeParts, broker_url: str) -> Parts:
    return make_parts(broker_url)


def test_an_accepted_job_outlives_every_message(
    make_parts: MakeParts, redis_server: RedisServer
) -> None:
    """Promise 1: An accepted job is never lost."""
    parts = make_parts(redis_server.url)
    assert parts.order("ok-1") is Status.ACCEPTED
    assert parts.broker.llen(CANCEL_QUEUE) == 1
    parts.broker.flushall()
    redis_server.stop()
    assert parts.order("ok-2", "UID2") is Status.ACCEPTED
    redis_server.start()

    assert parts.sweep().hinted == 2
    assert parts.broker.llen(CANCEL_QUEUE) == 2
    assert [parts.finish(), parts.finish("UID2")] == ["cancelled", "cancelled"]


def test_many_deliveries_at_once_are_one_call(parts: Parts, sandbox: Sandbox) -> None:
    """Promise 2: A job has at most one call at the bank at a time."""
    parts.order("hold-1")
    with ThreadPoolExecutor(8) as threads:
        deliveries = [threads.submit(parts.attempt) for _ in range(8)]
        assert sandbox.journal.wait_for_posts(1, timeout=LIMIT)
        eventually(lambda: sum(each.done() for each in deliveries) == 7)
        sandbox.release("hold-1")

    assert sorted(each.result() for each in deliveries) == [Result.NOTHING] * 7 + [Result.SETTLED]
    assert sandbox.journal.posts_per_uid() == {UID: 1}
    assert sandbox.journal.overlaps() == []


def test_what_comes_after_the_end_changes_nothing(parts: Parts, sandbox: Sandbox) -> None:
    """Promise 3: A final outcome never changes by itself."""
    parts.order("ok-1")
    silent = parts.fall_silent()
    assert parts.finish() == "cancelled"
    final, posts = parts.job(), len(sandbox.journal)

    assert parts.order("ok-1") is Status.DUPLICATE
    assert parts.order("ok-other") is Status.CONFLICT
    assert parts.attempt() is Result.NOTHING
    assert not parts.runtime.store.jobs.settle(silent, PAID, ANSWERED)
    assert not parts.runtime.store.jobs.settle_late(silent, PAID, ANSWERED)
    assert parts.sweep() == parts.sweep() == SweepResult(rescued=0, exhausted=0, hinted=0)
    assert parts.job() == final
    assert len(sandbox.journal) == posts


@pytest.mark.parametrize(
    ("token", "outcome"),
    [
        ("drop-1", "cancelled"),
        ("garbage+ok-1", "cancelled"),
        ("code.never_heard_of+ok-1", "cancelled"),
        ("garbage-1", "unknown"),
        ("code.never_heard_of-1", "unknown"),
    ],
)
def test_what_is_not_clear_is_asked_again(parts: Parts, token: str, outcome: str) -> None:
    """Promise 4: Doubt is never guessed away."""
    parts.order(token)
    assert parts.attempt() is Result.SETTLED
    job = parts.job()

    assert (job["state"], job["outcome"], job["doubted"]) == ("in_doubt", None, True)
    assert parts.finish() == outcome


def test_a_call_whose_worker_fell_silent_is_asked_about(parts: Parts) -> None:
    """Promise 4: Doubt is never guessed away."""
    parts.order("ok-1")
    parts.fall_silent()
    assert eventually(lambda: parts.sweep().rescued) == 1
    job = parts.job()

    assert (job["state"], job["outcome"], job["doubted"]) == ("in_doubt", None, True)
    assert parts.finish() == "cancelled"


@pytest.mark.parametrize(
    "token", ["paid-1", "paidlist-1", "payrace-1", "payracelist-1", "payracedrop-1", "droppay-1"]
)
def test_a_token_that_is_paid_meanwhile_ends_as_paid(
    parts: Parts, sandbox: Sandbox, token: str
) -> None:
    """Promise 5: A paid token is never called cancelled."""
    parts.order(token)

    assert parts.finish() == "paid"
    assert parts.job()["state"] == "refused"
    assert sandbox.journal.effects() == {}


@pytest.mark.parametrize("token", ["wrongsecret+ok-1", "http401+ok-1"])
def test_a_fault_of_our_own_rests_the_partner_and_spends_nothing(
    parts: Parts, sandbox: Sandbox, token: str
) -> None:
    """Promise 6: A wrong secret burns nothing."""
    sandbox.script(token, cancel=[token.partition("+")[0], "ok"])
    parts.order(token)
    parts.attempt()
    (partner,) = parts.runtime.store.partners.all()
    job = parts.job()

    assert partner.mode == "paused"
    assert partner.reason
    assert (job["state"], job["attempts"], job["outcome"]) == ("retryable", 0, None)
    assert parts.attempt() is Result.NOTHING
    assert len(sandbox.journal) == 1
    parts.runtime.store.actions.resume_partner(PARTNER_ID, who="somebody", reason="mended")
    assert parts.finish() == "cancelled"


@pytest.mark.parametrize("token", ["http403+ok-1", "redirect302+ok-1"])
def test_a_gateway_rests_the_partner_until_it_lets_us_through(
    parts: Parts, sandbox: Sandbox, token: str
) -> None:
    """Promise 6: A wrong secret burns nothing."""
    sandbox.script(token, cancel=[token.partition("+")[0], "ok"])
    parts.order(token)
    parts.attempt()
    (partner,) = parts.runtime.store.partners.all()
    job = parts.job()

    assert (partner.mode, "of a gateway" in partner.reason) == ("cooling", True)
    assert (job["state"], job["attempts"], job["outcome"]) == ("retryable", 0, None)
    assert parts.finish() == "cancelled"
    assert parts.job()["attempts"] == 1


def test_each_conversation_is_a_row_that_says_why(parts: Parts, sandbox: Sandbox) -> None:
    """Promise 7: Every conversation leaves evidence."""
    parts.order("busy1+drop+ok-1")
    assert parts.finish() == "cancelled"
    rows = parts.attempts()

    assert len(rows) == len(sandbox.journal) == parts.job()["attempts"] == 3
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert [row["decision"] for row in rows] == ["retry", "doubt", "succeed"]
    assert all(row["heard"] and row["detail"] for row in rows)


def test_the_secret_is_in_no_row_and_no_message(parts: Parts, sandbox: Sandbox) -> None:
    """Promise 8: The partner's secret stays where it belongs."""
    told = {"partnerTxnUid": UID, "tokenId": "echosecretdesc-1", "reference1": "R"}
    handle_message((), told | {"partnerSecret": SECRET}, parts.runtime)
    handle_message((), told | {"tokenId": "ok-2", "note": SECRET}, parts.runtime)
    parts.finish()
    left = tables_as_text(parts.runtime.store.database.engine) | keys_as_text(parts.broker)

    # Logs, outputs and all else: tests/e2e/test_canary.py.
    assert traces({"partner": SECRET}, left) == []
    assert parts.runtime.store.rejected_messages.counts() == {"conflict": 1}
    assert [entry.credentials_ok for entry in sandbox.journal.entries()] == [True] * 4


def test_each_promise_of_the_readme_has_its_test_here() -> None:
    chapter = (ROOT / "README.md").read_text().partition("## What is promised")[2]
    promised = re.findall(r"^(\d+)\. \*\*(.+?)\*\*", chapter.partition("\n## ")[0], re.MULTILINE)
    told = {
        match.groups()
        for name, test in vars(sys.modules[__name__]).items()
        if name.startswith("test_")
        and (match := re.fullmatch(r"Promise (\d+): (.+)", test.__doc__ or ""))
    }

    assert [int(number) for number, _ in promised] == list(range(1, len(promised) + 1))
    assert told == {(number, f"{bold.removesuffix('.')}.") for number, bold in promised}

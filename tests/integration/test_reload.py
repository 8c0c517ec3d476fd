"""A partners file that changes while the worker runs."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.attempting import accept
from tests.integration.stock import Clock, only, partner
from tests.servers.workers import PARTNER_ID, SECRET
from worker.config.partners_file import load_roster
from worker.config.reload import LiveRoster
from worker.domain.states import State
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext
from worker.sandbox import Sandbox


class PartnersFile:
    """A file of one partner, and a roster that looks at it at every call."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self.url = url
        self.write()

    def write(self, secret: str = SECRET, more: str = "") -> None:
        self.path.write_text(
            f'[partners.{PARTNER_ID}]\nsecret = "{secret}"\nbank_url = "{self.url}"\n{more}\n'
        )

    def live(self) -> LiveRoster:
        looks = itertools.count()
        return LiveRoster(
            lambda: load_roster(self.path, bank_url=self.url, inquiry_url=None),
            monotonic=lambda: 2.0 * next(looks),
        )


@pytest.fixture
def file(tmp_path: Path, sandbox: Sandbox) -> PartnersFile:
    return PartnersFile(tmp_path / "partners.toml", sandbox.cancel_url)


def test_a_changed_file_counts_once_two_looks_found_the_same(file: PartnersFile) -> None:
    live = file.live()
    before = live()[PARTNER_ID]
    file.write(more="max_concurrency = 3")
    assert live()[PARTNER_ID] is before
    assert live()[PARTNER_ID].max_concurrency == 3


def test_a_partner_that_did_not_change_stays_the_same_object(file: PartnersFile) -> None:
    live = file.live()
    before = live()[PARTNER_ID]
    file.path.write_text(file.path.read_text() + '\n[partners.P2]\nsecret = "another-one"\n')
    live()
    assert sorted(live()) == sorted([PARTNER_ID, "P2"])
    assert live()[PARTNER_ID] is before


@pytest.mark.parametrize("broken", ["", "[partners", "[partners.P1]\nsecret = 7\n"])
def test_a_broken_file_changes_nothing_and_is_told_once(
    file: PartnersFile, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    live = file.live()
    before = live()
    file.path.write_text(broken)
    for _ in range(4):
        assert live() is before
    file.path.unlink()
    assert live() is before
    file.write()
    assert live() is before
    told = capsys.readouterr().out
    assert told.count("partners_broken") == 2
    assert told.count("partners_good_again") == 1
    assert SECRET not in told


def test_other_contents_of_a_certificate_are_another_partner(
    file: PartnersFile, tmp_path: Path
) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("one")
    file.write(more='ca_bundle = "ca.pem"')
    live = file.live()
    before = live()[PARTNER_ID]
    authority.write_text("two")
    live()
    assert live()[PARTNER_ID] != before
    assert live()[PARTNER_ID].credentials != before.credentials


def test_a_file_that_is_rewritten_fifty_times_under_load_costs_no_call(
    context: AttemptContext, sandbox: Sandbox, file: PartnersFile
) -> None:
    uids = [f"U{n}" for n in range(100)]
    for uid in uids:
        accept(context.store, f"ok-{uid}", uid)
    under_load = replace(context, roster=file.live())
    written = threading.Event()

    def rewrite() -> None:
        for n in range(50):
            if n % 2:
                file.path.write_text("[partners." + "x" * n)
            else:
                file.write(more=f"max_concurrency = {n + 10}")
        file.write()
        written.set()

    def work(uid: str) -> None:
        while not (written.is_set() and _is_final(under_load, uid)):
            attempt(uid, under_load)

    with ThreadPoolExecutor(5) as threads:
        rewriting = threads.submit(rewrite)
        list(threads.map(work, uids))
        rewriting.result()
    assert sandbox.journal.posts_per_uid() == dict.fromkeys(uids, 1)
    assert context.store.reports.stats().states[State.SUCCEEDED] == len(uids)


def _is_final(context: AttemptContext, uid: str) -> bool:
    found = context.store.reports.file(uid)
    return found is not None and found.job["finished_at"] is not None


def test_a_wrong_secret_costs_one_call_and_goes_on_when_the_file_is_right(
    context: AttemptContext, sandbox: Sandbox, file: PartnersFile, clock: Clock
) -> None:
    sandbox.expect_secrets({PARTNER_ID: SECRET})
    uids = [f"U{n}" for n in range(60)]
    for uid in uids:
        accept(context.store, f"ok-{uid}", uid)
    file.write(secret="wrong-at-three")
    live = file.live()
    wrong = replace(context, roster=live)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda uid: attempt(uid, wrong), uids * 3))
    assert len(sandbox.journal) == 1
    assert partner(context.store, PARTNER_ID)["mode"] == "paused"
    assert context.store.reports.stats().attempts == 0

    file.write()
    live()
    shown = {name: known.credentials for name, known in live().items()}
    assert context.store.partners.resume_changed(shown) == [PARTNER_ID]
    _finish(wrong, uids, clock)
    assert only(partner(context.store, PARTNER_ID), "mode", "failures") == ("active", 0)
    assert len(sandbox.journal) == 1 + len(uids)


def _finish(context: AttemptContext, uids: list[str], clock: Clock) -> None:
    for uid in uids:
        while not _is_final(context, uid):
            attempt(uid, context)
            clock.forward(1)

"""A secret in a file that is replaced while the worker runs, in every way in which that is done."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.integration.attempting import accept
from tests.integration.stock import Clock, only, partner, row
from tests.servers.secret_files import WAYS, overwrite
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, SECRET
from worker.config.reload import LiveRoster
from worker.config.settings import GivenSettings, Settings
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext, Result
from worker.sandbox import Sandbox

NEW = "canary-bmV3LXNlY3JldA"


@dataclass(frozen=True)
class SecretFile:
    """The file, one way to replace it, and a roster that looks at it at every call."""

    path: Path
    replace: Callable[[Path, str], None]
    settings: Settings

    def put(self, secret: str) -> None:
        self.replace(self.path, secret)

    def live(self) -> LiveRoster:
        looks = itertools.count()
        return LiveRoster(self.settings.roster, monotonic=lambda: 2.0 * next(looks))


def of_one_partner(path: Path, url: str) -> Settings:
    """Name the file in `KPLUS_PARTNER_SECRET_FILE`."""
    return GivenSettings(partner_id=PARTNER_ID, partner_secret_file=path, bank_url=url)


def of_a_partners_file(path: Path, url: str) -> Settings:
    """Name the file in a partners file."""
    file = path.parent / "partners.toml"
    file.write_text(f'[partners.{PARTNER_ID}]\nsecret_file = "{path.name}"\n')
    return GivenSettings(partners_file=file, bank_url=url)


@pytest.fixture(params=[of_one_partner, of_a_partners_file], ids=lambda made: made.__name__)
def settings(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> Settings:
    made: Settings = request.param(tmp_path / "secret", sandbox.cancel_url)
    return made


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def file(request: pytest.FixtureRequest, tmp_path: Path, settings: Settings) -> SecretFile:
    file = SecretFile(tmp_path / "secret", request.param, settings)
    file.put(SECRET)
    return file


def secret(live: LiveRoster) -> str:
    return live()[PARTNER_ID].secret.get_secret_value()


def test_a_changed_secret_counts_once_two_looks_found_the_same(file: SecretFile) -> None:
    live = file.live()
    before = live()[PARTNER_ID]
    file.put(NEW)
    assert live()[PARTNER_ID] is before
    assert secret(live) == NEW
    assert live()[PARTNER_ID].credentials != before.credentials


@pytest.mark.parametrize("file", [overwrite], indirect=True)
@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"\xff\xfe", b"canary-one\ncanary-two\n", "ความลับ".encode(), None],
    ids=["empty", "a line break", "no text", "two lines", "Thai", "gone"],
)
def test_a_broken_secret_file_keeps_the_old_secret_and_is_told_once(
    file: SecretFile, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    live = file.live()
    before = live()
    if content is None:
        file.path.unlink()
    else:
        file.path.write_bytes(content)
    for _ in range(4):
        assert live() is before
    file.put(SECRET)
    assert live() is before
    told = capsys.readouterr().out
    assert told.count("partners_broken") == 1
    assert told.count("partners_good_again") == 1
    assert "SECRET_FILE" in told or "partners.toml" in told
    assert SECRET not in told
    assert "canary-" not in told


def test_a_secret_that_is_still_being_written_is_not_used(file: SecretFile) -> None:
    live = file.live()
    file.put(NEW[:9])
    live()
    file.put(NEW)
    assert [secret(live), secret(live)] == [SECRET, NEW]


def test_a_wrong_secret_costs_one_call_and_goes_on_when_the_file_is_right(
    context: AttemptContext, sandbox: Sandbox, file: SecretFile, clock: Clock
) -> None:
    uids = [f"U{n}" for n in range(3)]
    for uid in uids:
        accept(context.store, f"ok-{uid}", uid)
    file.put("wrong-at-three")
    live = file.live()
    context = replace(context, roster=live)
    assert [attempt(uid, context) for uid in uids] == [Result.SETTLED, *(2 * [Result.NOTHING])]
    assert partner(context.store, PARTNER_ID)["mode"] == "paused"
    assert only(row(context.store, "U0"), "state", "attempts") == ("retryable", 0)

    file.put(SECRET)
    live()
    shown = {name: known.credentials for name, known in live().items()}
    assert context.store.partners.resume_changed(shown) == [PARTNER_ID]
    for uid in uids:
        while row(context.store, uid)["finished_at"] is None:
            clock.forward(60)
            attempt(uid, context)
    assert sandbox.journal.posts_per_uid() == {"U0": 2, "U1": 1, "U2": 1}


def test_a_call_in_flight_ends_under_the_secret_it_began_with(
    context: AttemptContext, sandbox: Sandbox, file: SecretFile
) -> None:
    """The bank takes both secrets in turn, as it does while one is renewed."""
    for uid, token in (("PROOF", "ok-1"), ("HELD", "hold-1"), ("AFTER", "ok-2")):
        accept(context.store, token, uid)
    live = file.live()
    context = replace(context, roster=live)
    attempt("PROOF", context)
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(attempt, "HELD", context)
        eventually(lambda: "HELD" in sandbox.journal.posts_per_uid())
        sandbox.expect_secrets({PARTNER_ID: NEW})
        file.put(NEW)
        live()
        assert attempt("AFTER", context) is Result.SETTLED
        sandbox.release("hold-1")
        assert held.result() is Result.SETTLED
    outcomes = [row(context.store, uid)["outcome"] for uid in ("HELD", "AFTER")]
    assert outcomes == ["cancelled", "cancelled"]
    assert sandbox.journal.counts()["wrong_credentials"] == 0

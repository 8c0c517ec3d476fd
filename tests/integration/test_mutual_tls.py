"""A bank that demands a client certificate, asked by real attempts over TLS 1.2 and 1.3."""

import itertools
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.bank.tls_files import AUTHORITY, HERE, OTHER_AUTHORITY, at_localhost, server_context
from tests.integration.attempting import accept, once_in_flight
from tests.integration.stock import Clock, attempts, only, partner, row
from tests.servers.workers import PARTNER_ID, SECRET
from worker.config.partners_file import load_roster
from worker.config.reload import LiveRoster
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext, Result
from worker.sandbox import Sandbox

OTHER = "KP-OTHER"
TLS_FILES = {
    "client_cert": "client.pem",
    "client_key": "client_key.pem",
    "client_key_password_file": "client_key_password.txt",
    "ca_bundle": "ca.pem",
}
OpenBank = Callable[..., Sandbox]
pytestmark = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"]
)


@dataclass
class Files:
    """A partners file with TLS files beside it, and a roster that looks at them at every call."""

    folder: Path
    url: str
    named: dict[str, str] = field(default_factory=lambda: dict(TLS_FILES))

    def __post_init__(self) -> None:
        for name in ("client.pem", "client_key.pem", "client_key_password.txt", "ca.pem"):
            self.put(name, name)
        looks = itertools.count()
        self.write()
        self.live = LiveRoster(
            lambda: load_roster(self.folder / "partners.toml", bank_url=self.url, inquiry_url=None),
            monotonic=lambda: 2.0 * next(looks),
        )

    def put(self, name: str, origin: str) -> None:
        """Let a file hold what one of the tests' certificates holds."""
        (self.folder / name).write_bytes((HERE / origin).read_bytes())

    def write(self, **more: str) -> None:
        """Write the partners file: one partner as it is now, the other one sound."""
        lines = [f"[partners.{PARTNER_ID}]", f'secret = "{SECRET}"']
        lines += [f'{name} = "{value}"' for name, value in (self.named | more).items()]
        lines += [f"[partners.{OTHER}]", f'secret = "{SECRET}"']
        sound = {"client_cert": "client.pem", "client_key": "client_key.pem", "ca_bundle": "ca.pem"}
        lines += [f'{name} = "{HERE / value}"' for name, value in sound.items()]
        (self.folder / "partners.toml").write_text("\n".join(lines))

    def changed(self) -> dict[str, str]:
        """Return the credentials after the two looks that a change needs."""
        self.live()
        return {name: known.credentials for name, known in self.live().items()}


@pytest.fixture
def open_bank(version: ssl.TLSVersion) -> Iterator[OpenBank]:
    with ExitStack() as stack:

        def start(certificate: str = "server.pem", **options: Any) -> Sandbox:
            context = server_context(certificate, at_most=version, **options)
            secrets = {PARTNER_ID: SECRET, OTHER: SECRET}
            bank = stack.enter_context(Sandbox(secrets=secrets, ssl_context=context))
            stack.callback(lambda: _stumbled_over_nothing(bank))
            return bank

        yield start


def _stumbled_over_nothing(bank: Sandbox) -> None:
    assert bank.faults == []


def begun(context: AttemptContext, bank: Sandbox, folder: Path) -> tuple[AttemptContext, Files]:
    """Return the means over a partners file, and the file; three jobs wait, and one of another."""
    files = Files(folder, at_localhost(bank))
    for uid in ("U1", "U2", "U3"):
        accept(context.store, f"ok-{uid}", uid)
    accept(context.store, "ok-V1", "V1", partner_id=OTHER)
    return replace(context, roster=files.live), files


def finish(context: AttemptContext, clock: Clock, *uids: str) -> None:
    for uid in uids:
        while row(context.store, uid)["finished_at"] is None:
            clock.forward(60)
            attempt(uid, context)
    assert {row(context.store, uid)["outcome"] for uid in uids} == {"cancelled"}


def test_an_identity_that_the_bank_knows_lets_jobs_succeed(
    context: AttemptContext, open_bank: OpenBank, clock: Clock, tmp_path: Path
) -> None:
    bank = open_bank(asks_for_client=True)
    context, files = begun(context, bank, tmp_path)
    finish(context, clock, "U1")
    files.put("client_key.pem", "client_key_locked.pem")
    files.changed()
    finish(context, clock, "U2", "U3", "V1")
    assert bank.journal.posts_per_uid() == dict.fromkeys(("U1", "U2", "U3", "V1"), 1)


@dataclass(frozen=True)
class Flaw:
    """What is wrong with an identity, what is heard of it, and what the reason tells."""

    heard: str
    reason: str
    content: tuple[str, str] | None = None
    """A file, and whose content it has."""
    named: dict[str, str] = field(default_factory=dict)
    unnamed: tuple[str, ...] = ()
    trusted: Path | None = None


FLAWS = {
    "missing": Flaw(
        "tls_refused",
        "set client_cert and client_key",
        unnamed=("client_cert", "client_key", "client_key_password_file"),
    ),
    "expired": Flaw(
        "tls_refused",
        "it has ended: put a new one into client_cert",
        content=("client.pem", "client_expired.pem"),
        trusted=OTHER_AUTHORITY,
    ),
    "of another authority": Flaw(
        "tls_refused",
        "use the one that the bank has registered",
        content=("client.pem", "client_stranger.pem"),
    ),
    "a key that does not fit": Flaw(
        "bad_tls_files",
        "client_key.pem does not fit client_cert",
        content=("client_key.pem", "other_key.pem"),
    ),
    "a wrong password": Flaw(
        "bad_tls_files",
        "client_key_password.txt does not open client_key",
        content=("client_key_password.txt", "README.md"),
        named={"client_key": "locked.pem"},
    ),
    "a file that is gone": Flaw(
        "bad_tls_files",
        "client_cert .*gone.pem.*No such file",
        named={"client_cert": "gone.pem"},
    ),
}


@pytest.mark.parametrize("flaw", FLAWS.values(), ids=list(FLAWS))
def test_an_identity_that_cannot_be_used_burns_nothing_and_goes_on_once_mended(
    context: AttemptContext, open_bank: OpenBank, clock: Clock, tmp_path: Path, flaw: Flaw
) -> None:
    bank = open_bank(asks_for_client=True, also_trusts=flaw.trusted)
    context, files = begun(context, bank, tmp_path)
    files.put("locked.pem", "client_key_locked.pem")
    sound = files.named | ({"client_key": "locked.pem"} if "locked.pem" in str(flaw) else {})
    files.named = {
        name: value for name, value in (sound | flaw.named).items() if name not in flaw.unnamed
    }
    files.write()
    if flaw.content is not None:
        files.put(*flaw.content)
    files.changed()

    assert [attempt(uid, context) for uid in ("U1", "U2", "U1")] == [
        Result.SETTLED,
        Result.NOTHING,
        Result.NOTHING,
    ]
    _nothing_is_burnt(context, flaw.heard, flaw.reason)
    assert bank.journal.entries() == []
    finish(context, clock, "V1")

    files.named = sound
    files.write()
    if flaw.content is not None:
        files.put(flaw.content[0], flaw.content[0])
    assert context.store.partners.resume_changed(files.changed()) == [PARTNER_ID]
    assert _beside_the_first(context, clock) is Result.NOTHING
    finish(context, clock, "U1", "U2", "U3")
    assert bank.journal.posts_per_uid() == dict.fromkeys(("U1", "U2", "U3", "V1"), 1)


def _nothing_is_burnt(context: AttemptContext, heard: str, reason: str) -> None:
    job, paused = row(context.store), partner(context.store, PARTNER_ID)
    assert only(job, "state", "attempts", "outcome", "doubted") == ("retryable", 0, None, False)
    assert [only(each, "heard", "spent") for each in attempts(context.store)] == [(heard, False)]
    assert paused["mode"] == "paused"
    assert re.search(reason, paused["reason"]), paused["reason"]


def _beside_the_first(context: AttemptContext, clock: Clock) -> Result:
    """Let the first call go after a resume; return what came of a second one beside it."""
    clock.forward(60)
    beside: list[Result] = []
    look = once_in_flight(context, lambda: beside.append(attempt("U2", context)))
    assert attempt("U1", replace(context, roster=look)) is Result.SETTLED
    return beside[0]


@pytest.mark.parametrize(
    ("certificate", "trusted", "why"),
    [
        ("expired.pem", AUTHORITY, "certificate has expired"),
        ("other_host.pem", AUTHORITY, "mismatch"),
        ("server.pem", OTHER_AUTHORITY, "unable to get local issuer"),
    ],
    ids=["expired", "of another host", "of an unknown authority"],
)
def test_a_bank_that_cannot_prove_itself_is_sent_nothing_and_pauses_its_partner(
    context: AttemptContext,
    open_bank: OpenBank,
    tmp_path: Path,
    certificate: str,
    trusted: Path,
    why: str,
) -> None:
    bank = open_bank(certificate)
    context, files = begun(context, bank, tmp_path)
    files.put("ca.pem", trusted.name)
    files.changed()

    assert [attempt(uid, context) for uid in ("U1", "U2")] == [Result.SETTLED, Result.NOTHING]
    _nothing_is_burnt(context, "tls_untrusted", f"check its address and ca_bundle.*{why}")
    assert bank.journal.entries() == []

    files.put("ca.pem", "ca.pem")
    mended = [PARTNER_ID] if trusted != AUTHORITY else []
    assert context.store.partners.resume_changed(files.changed()) == mended
    assert attempt("U2", context) is (Result.SETTLED if mended else Result.NOTHING)


def test_a_refused_inquiry_leaves_the_doubt_as_it_was(
    context: AttemptContext, open_bank: OpenBank, clock: Clock, tmp_path: Path
) -> None:
    """The certificate ends between the cancel, whose answer was lost, and the question."""
    bank = open_bank(asks_for_client=True, also_trusts=OTHER_AUTHORITY)
    context, files = begun(context, bank, tmp_path)
    inquiry = at_localhost(bank).replace("cancel-token", "inquire-token")
    files.write(inquiry_url=inquiry)
    files.changed()
    accept(context.store, "drop-1", "LOST")
    attempt("LOST", context)
    files.put("client.pem", "client_expired.pem")
    files.changed()
    clock.forward(60)
    attempt("LOST", context)

    job = row(context.store, "LOST")
    assert only(job, "state", "attempts", "outcome", "doubted") == ("in_doubt", 1, None, True)
    asked = attempts(context.store, "LOST")[-1]
    assert only(asked, "kind", "heard", "spent") == ("inquiry", "tls_refused", False)
    assert partner(context.store, PARTNER_ID)["mode"] == "paused"

    files.put("client.pem", "client.pem")
    assert context.store.partners.resume_changed(files.changed()) == [PARTNER_ID]
    finish(context, clock, "LOST")
    assert [post.operation for post in bank.journal.entries()] == ["cancel", "inquiry"]

"""`doctor`: what is well, what is wrong with its remedy, and nothing sent to the bank."""

import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.bank.tls_files import server_context
from tests.cli.conftest import Done, Run
from tests.integration.stock import DOWN, accept, claimed, execute, settle
from tests.servers.brokers import RedisServer
from tests.servers.egress import MakeEgress
from tests.servers.schema import ROOT
from tests.servers.workers import PARTNER_ID, SECRET
from worker.doctor.certificate import certificate_end
from worker.process.heartbeat import Heartbeat
from worker.process.liveness import End, Stall
from worker.sandbox import Sandbox
from worker.store import Cooldown, Store, open_database

TLS = ROOT / "tests" / "bank" / "tls"
DOCTOR = ("doctor", "--json")


def line(done: Done, check: str) -> dict[str, Any]:
    """Return the one line whose check begins so."""
    (found,) = [each for each in done.json["checks"] if each["check"].startswith(check)]
    return dict(found)


@pytest.fixture
def settings(database: str, broker_url: str, sandbox: Sandbox, home: Path) -> dict[str, str]:
    return {
        "KPLUS_HOME": str(home),
        "KPLUS_DATABASE_URL": database,
        "KPLUS_BROKER_URL": broker_url,
        "KPLUS_BANK_URL": sandbox.cancel_url,
        "KPLUS_PARTNER_ID": PARTNER_ID,
        "KPLUS_PARTNER_SECRET": SECRET,
    }


def test_where_all_is_well_every_line_is_good_and_the_bank_heard_nothing(
    run: Run, settings: dict[str, str], sandbox: Sandbox
) -> None:
    done = run(*DOCTOR, **settings)
    assert [each for each in done.json["checks"] if not each["ok"]] == []
    assert (done.code, done.json["ok"]) == (0, True)
    assert [each["check"].split()[0] for each in done.json["checks"]] == [
        "settings",
        "partner",
        "dialect",
        "database",
        "schema",
        "clock",
        "progress",
        "tokens",
        "workers",
        "broker",
        "bank",
    ]
    assert "KPLUS_PARTNER_SECRET" in line(done, "settings")["text"]
    assert sandbox.journal.entries() == []
    assert SECRET not in done.all()
    page = run("doctor", "--table", **settings)
    assert page.code == 0
    assert all(each.startswith("✓ ") for each in page.out.splitlines())


def test_it_runs_as_a_process_of_its_own(
    start: Run, settings: dict[str, str], sandbox: Sandbox
) -> None:
    done = start("doctor", "--table", **settings)
    assert (done.code, done.err) == (0, "")


def test_a_health_check_wants_a_worker_and_connects_to_nothing(
    run: Run, settings: dict[str, str], home: Path
) -> None:
    nowhere = {"KPLUS_BROKER_URL": "redis://127.0.0.1:1/0", "KPLUS_PARTNERS_FILE": "/no/such/file"}
    for name in ("KPLUS_PARTNER_ID", "KPLUS_PARTNER_SECRET"):
        del settings[name]
    done = run(*DOCTOR, "--worker", **settings | nowhere)
    assert (done.code, done.json["ok"]) == (1, False)
    assert "KPLUS_HOME" in line(done, "workers")["remedy"]

    pulse = Heartbeat(home)
    pulse.beat(None)
    done = run(*DOCTOR, "--worker", **settings | nowhere)
    assert (done.code, line(done, f"worker {os.getpid()}")["text"]) == (0, "moves")
    lasting = timedelta(seconds=99)
    pulse.beat(Stall("a task has not ended", lasting))
    done = run(*DOCTOR, "--worker", **settings | nowhere)
    assert (done.code, len(done.json["checks"])) == (1, 1)
    assert "a task has not ended for 99 s" in line(done, "worker")["text"]
    assert "it ends itself" in line(done, "worker")["remedy"]
    pulse.beat(Stall("no pass has succeeded", lasting, End.NOT, reason="ไม่มี " * 200))
    done = run(*DOCTOR, "--worker", **settings | nowhere)
    assert done.code == 1
    assert "no pass has succeeded for 99 s: ไม่มี" in line(done, "worker")["text"]
    assert "kplus-cancel doctor" in line(done, "worker")["remedy"]
    pulse.beat(None)
    assert run(*DOCTOR, "--worker", **settings | nowhere).code == 0
    pulse.close()
    assert run(*DOCTOR, "--worker", **settings | nowhere).code == 1


def test_settings_that_cannot_be_used_are_all_that_is_told(run: Run) -> None:
    done = run(*DOCTOR, KPLUS_HOEM="hidden-1", KPLUS_PARTNRE_ID="hidden-2")
    assert done.code == 3
    assert [each["check"] for each in done.json["checks"]] == ["settings", "settings"]
    assert "did you mean KPLUS_HOME?" in done.out
    assert "hidden" not in done.all()


def test_settings_are_told_with_the_place_they_come_from(
    run: Run, tmp_path: Path, partner: dict[str, str]
) -> None:
    (tmp_path / ".env").write_text(f"KPLUS_PARTNER_ID={PARTNER_ID}\nKPLUS_CONCURRENCY=3\n")
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "broker").write_text("redis://127.0.0.1:1/0")
    files = {"KPLUS_PARTNER_SECRET_FILE": "secret", "KPLUS_BROKER_URL_FILE": "broker"}
    text = line(run(*DOCTOR, **files), "settings")["text"]
    assert "from the environment: KPLUS_HOME, KPLUS_PARTNER_SECRET_FILE" in text
    assert "from the file broker: KPLUS_BROKER_URL" in text
    assert f"from {tmp_path / '.env'}: KPLUS_CONCURRENCY, KPLUS_PARTNER_ID" in text


def test_without_partners_one_can_enqueue_and_not_cancel(run: Run) -> None:
    found = line(run(*DOCTOR), "partners")
    assert not found["ok"]
    assert "KPLUS_PARTNERS_FILE" in found["remedy"]


def test_a_database_that_was_never_made_is_not_made_by_looking(run: Run, home: Path) -> None:
    done = run(*DOCTOR)
    assert done.code == 4
    assert "kplus-cancel db upgrade" in line(done, "database")["remedy"]
    assert not home.exists()


def test_what_cannot_be_reached_is_named_without_passwords(
    run: Run, settings: dict[str, str]
) -> None:
    settings |= {
        "KPLUS_DATABASE_URL": "postgresql://u:hidden-3@127.0.0.1:1/d",
        "KPLUS_BROKER_URL": "redis://:hidden-4@127.0.0.1:1/0",
        "KPLUS_BANK_URL": "http://127.0.0.1:1/v1",
    }
    done = run(*DOCTOR, **settings)
    assert done.code == 4
    for check in ("database", "broker", "bank"):
        assert not line(done, check)["ok"]
        assert line(done, check)["remedy"]
    assert "hidden" not in done.all()


def test_a_schema_that_is_not_up_to_date_is_told_with_the_command(
    run: Run, settings: dict[str, str], stored: Store
) -> None:
    execute(stored, "DROP TABLE operator_actions")
    done = run(*DOCTOR, **settings)
    assert done.code == 1
    assert "table operator_actions" in line(done, "schema")["text"]
    assert "db upgrade" in line(done, "schema")["remedy"]


def test_partners_that_rest_and_jobs_that_wait_are_told(
    run: Run, settings: dict[str, str], database: str
) -> None:
    old = datetime(2026, 1, 1, tzinfo=UTC)
    store = Store(open_database(database, clock=lambda: old), cooldown=Cooldown(threshold=1))
    accept(store, "U1", "U2")
    settle(store, claimed(store), DOWN)
    store.actions.pause_partner("P2", who="me", reason="wrong key")
    store.close()
    done = run(*DOCTOR, **settings)
    assert done.code == 1
    assert line(done, "calls of P2")["text"] == "is paused: wrong key"
    assert "partners resume P2" in line(done, "calls of P2")["remedy"]
    assert "is cooling" in line(done, "calls of P1")["text"]
    progress = line(done, "progress")
    assert progress["text"].startswith("2 due, the oldest for ")
    assert "start a worker" in progress["remedy"]


def test_a_broker_that_throws_messages_away_is_wrong(
    run: Run, settings: dict[str, str], redis_server: RedisServer
) -> None:
    settings |= {"KPLUS_BROKER_URL": redis_server.url}
    assert "append-only" in line(run(*DOCTOR, **settings), "broker")["text"]
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    done = run(*DOCTOR, **settings)
    assert done.code == 1
    assert "allkeys-lru" in line(done, "broker")["text"]
    assert "noeviction" in line(done, "broker")["remedy"]


def test_a_dialect_that_cannot_be_read_is_a_setting_that_cannot_be_used(
    run: Run, settings: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text("[nonsense]\n")
    done = run(*DOCTOR, **settings, KPLUS_DIALECT_FILE="own.toml")
    assert done.code == 3
    assert "own.toml" in line(done, "dialect")["text"]


@pytest.fixture
def secure_bank() -> Iterator[Any]:
    """A bank behind TLS, with one of the certificates made for the tests."""
    with ExitStack() as stack:

        def begin(certificate: str, **options: Any) -> Sandbox:
            context = server_context(certificate, **options)
            return stack.enter_context(Sandbox(ssl_context=context))

        yield begin


def _partners_file(folder: Path, bank: Sandbox, **more: Path) -> Path:
    lines = [
        f"[partners.{PARTNER_ID}]",
        f'secret = "{SECRET}"',
        f'bank_url = "{bank.cancel_url.replace("127.0.0.1", "localhost")}"',
        *(f'{name} = "{path}"' for name, path in more.items()),
    ]
    path = folder / "partners.toml"
    path.write_text("\n".join(lines))
    return path


def test_a_bank_that_proves_who_it_is_is_well(run: Run, secure_bank: Any, tmp_path: Path) -> None:
    bank = secure_bank("server.pem")
    certificate = {"client_cert": TLS / "client.pem", "client_key": TLS / "client_key.pem"}
    file = _partners_file(tmp_path, bank, ca_bundle=TLS / "ca.pem", **certificate)
    done = run(*DOCTOR, KPLUS_PARTNERS_FILE=file)
    assert "proved to be localhost" in line(done, "bank")["text"]
    assert line(done, "bank")["ok"]
    assert "certificate ends at 2120" in line(done, "partner")["text"]
    assert bank.journal.entries() == []


@pytest.mark.parametrize("tls", [False, True], ids=["http proxy", "https proxy"])
def test_a_bank_is_looked_at_through_the_proxy_of_its_partner(
    run: Run, secure_bank: Any, tmp_path: Path, egress: MakeEgress, *, tls: bool
) -> None:
    proxy = egress(tls=tls)
    bank = secure_bank("server.pem", asks_for_client=True)
    files = {
        "client_cert": TLS / "client.pem",
        "client_key": TLS / "client_key.pem",
        "ca_bundle": TLS / "ca.pem",
        "proxy_ca_bundle": TLS / "ca.pem",
    }
    file = _partners_file(tmp_path, bank, **files)
    settings = {"KPLUS_PARTNERS_FILE": file, "KPLUS_PROXY_URL": proxy.url}
    found = line(run(*DOCTOR, **settings), "bank")
    assert f" through {proxy.host}:{proxy.port}" in found["check"]
    assert "proved to be localhost" in found["text"]
    proxy.stop()
    found = line(run(*DOCTOR, **settings), "bank")
    assert not found["ok"]
    assert "cannot be reached through the proxy" in found["text"]
    assert "KPLUS_PROXY_URL" in found["remedy"]
    assert bank.journal.entries() == []


def test_a_refused_certificate_is_told_through_a_proxy_too(
    run: Run, secure_bank: Any, tmp_path: Path, egress: MakeEgress
) -> None:
    bank = secure_bank("server.pem", asks_for_client=True)
    bundles = {"ca_bundle": TLS / "ca.pem", "proxy_ca_bundle": TLS / "ca.pem"}
    file = _partners_file(tmp_path, bank, **bundles)
    settings = {"KPLUS_PARTNERS_FILE": file, "KPLUS_PROXY_URL": egress(tls=True).url}
    found = line(run(*DOCTOR, **settings), "bank")
    assert "(certificate_required)" in found["text"]
    assert "set client_cert" in found["remedy"]


def test_a_proxy_that_wants_a_password_is_told_without_the_wrong_one(
    run: Run, secure_bank: Any, tmp_path: Path, egress: MakeEgress
) -> None:
    proxy = egress(wants_a_user=True)
    file = _partners_file(tmp_path, secure_bank("server.pem"), ca_bundle=TLS / "ca.pem")
    url = f"http://user:hidden-7@127.0.0.1:{proxy.port}"
    done = run(*DOCTOR, KPLUS_PARTNERS_FILE=file, KPLUS_PROXY_URL=url)
    assert "does not take the user and the password" in line(done, "bank")["text"]
    assert "hidden" not in done.all()


def test_a_bundle_of_the_proxy_that_cannot_be_used_is_a_fault_of_the_partner(
    run: Run, secure_bank: Any, tmp_path: Path
) -> None:
    file = _partners_file(tmp_path, secure_bank("server.pem"), proxy_ca_bundle=TLS / "README.md")
    done = run(*DOCTOR, KPLUS_PARTNERS_FILE=file, KPLUS_PROXY_URL="https://localhost:1")
    found = line(done, f"partner {PARTNER_ID}")
    assert not found["ok"]
    assert "proxy_ca_bundle" in found["text"]
    assert "README.md" in line(done, "bank")["text"]


def test_a_proxy_of_the_environment_is_told_and_is_the_remedy_where_nothing_is_reached(
    run: Run, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://u:hidden-8@127.0.0.1:9")
    done = run(*DOCTOR, **settings)
    assert line(done, "proxy")["ok"], "where all is reached, that is right"
    assert "HTTPS_PROXY is set, and not used" in line(done, "proxy")["text"]
    done = run(*DOCTOR, **settings | {"KPLUS_BANK_URL": "https://127.0.0.1:1/v1"})
    assert "HTTPS_PROXY is set, and not used" in line(done, "bank")["remedy"]
    assert "hidden" not in done.all()
    done = run(*DOCTOR, **settings | {"KPLUS_PROXY_URL": "direct"})
    assert [each for each in done.json["checks"] if each["check"] == "proxy"] == []


@pytest.mark.parametrize(
    ("certificate", "trusted", "why"),
    [
        ("server.pem", "", "self-signed|unable to get local issuer"),
        ("expired.pem", "ca.pem", "expired"),
        ("other_host.pem", "ca.pem", "mismatch"),
    ],
)
def test_a_bank_that_cannot_prove_who_it_is_gets_no_secret(
    run: Run, secure_bank: Any, tmp_path: Path, certificate: str, trusted: str, why: str
) -> None:
    bank = secure_bank(certificate)
    more = {"ca_bundle": TLS / trusted} if trusted else {}
    done = run(*DOCTOR, KPLUS_PARTNERS_FILE=_partners_file(tmp_path, bank, **more))
    found = line(done, "bank")
    assert not found["ok"]
    assert any(word in found["text"] for word in why.split("|")), found["text"]
    assert "do not send secrets there" in found["remedy"]


def test_tls_files_that_cannot_be_used_are_named(
    run: Run, secure_bank: Any, tmp_path: Path
) -> None:
    bank = secure_bank("server.pem")
    file = _partners_file(tmp_path, bank, client_cert=TLS / "README.md")
    found = line(run(*DOCTOR, KPLUS_PARTNERS_FILE=file), f"partner {PARTNER_ID}")
    assert not found["ok"]
    assert "README.md" in found["text"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("identity", "alerts", "remedy"),
    [
        ({}, "certificate_required|handshake_failure", "set client_cert and client_key"),
        ({"client_cert": "client_stranger.pem"}, "unknown_ca", "does not know its issuer"),
    ],
    ids=["missing", "of another authority"],
)
def test_a_bank_that_refuses_our_certificate_is_told_before_any_job_finds_out(
    run: Run,
    secure_bank: Any,
    tmp_path: Path,
    version: ssl.TLSVersion,
    identity: dict[str, str],
    alerts: str,
    remedy: str,
) -> None:
    bank = secure_bank("server.pem", asks_for_client=True, at_most=version)
    files = {name: TLS / file for name, file in identity.items()}
    if files:
        files["client_key"] = TLS / "client_key.pem"
    file = _partners_file(tmp_path, bank, ca_bundle=TLS / "ca.pem", **files)
    found = line(run(*DOCTOR, KPLUS_PARTNERS_FILE=file), "bank")
    assert not found["ok"]
    assert any(f"({alert})" in found["text"] for alert in alerts.split("|")), found["text"]
    assert remedy in found["remedy"]
    assert bank.journal.entries() == []


def test_each_partner_has_a_line_on_its_certificate_and_none_shows_the_password(
    run: Run, secure_bank: Any, tmp_path: Path
) -> None:
    bank = secure_bank("server.pem", asks_for_client=True)
    (tmp_path / "wrong").write_text("canary-of-a-password")
    locked = {
        "client_cert": TLS / "client.pem",
        "client_key": TLS / "client_key_locked.pem",
        "ca_bundle": TLS / "ca.pem",
    }
    right = (TLS / "client_key_password.txt").read_text().strip()
    given = {
        "SOUND": {**locked, "client_key_password_file": TLS / "client_key_password.txt"},
        "LOCKED": {**locked, "client_key_password_file": tmp_path / "wrong"},
        "ENDED": {"client_cert": TLS / "expired.pem"},
        "NONE": {},
    }
    tables = [
        _partners_file(tmp_path, bank, **files).read_text().replace(PARTNER_ID, name)
        for name, files in given.items()
    ]
    (tmp_path / "partners.toml").write_text("\n".join(tables))
    settings = {"KPLUS_PARTNERS_FILE": tmp_path / "partners.toml"}
    done, page = run(*DOCTOR, **settings), run("doctor", "--table", **settings)

    assert "2120-01-01" in line(done, "partner SOUND")["text"]
    assert "does not open client_key" in line(done, "partner LOCKED")["text"]
    assert "it has ended" in line(done, "partner ENDED")["text"]
    assert "no client certificate" in line(done, "partner NONE")["text"]
    shown = {each.split(":")[0] for each in page.out.splitlines() if " partner " in each}
    assert shown == {"✓ partner SOUND", "✗ partner LOCKED", "✗ partner ENDED", "✓ partner NONE"}
    for name in ("LOCKED", "ENDED"):
        assert line(done, f"partner {name}")["remedy"]
    for told in (done, page):
        assert "canary" not in told.all()
        assert right not in told.all()


def test_a_certificate_that_has_ended_is_wrong(run: Run, secure_bank: Any, tmp_path: Path) -> None:
    file = _partners_file(tmp_path, secure_bank("server.pem"), client_cert=TLS / "expired.pem")
    found = line(run(*DOCTOR, KPLUS_PARTNERS_FILE=file), f"partner {PARTNER_ID}")
    assert not found["ok"]
    assert "it has ended" in found["text"]


@pytest.mark.parametrize("name", ["client.pem", "server.pem", "expired.pem", "other_host.pem"])
def test_the_end_of_a_certificate_is_read_as_the_library_reads_it(name: str) -> None:
    """The library tells it of a peer; here the peer is a server with that certificate."""
    decode = ssl._ssl._test_decode_cert  # type: ignore[attr-defined]  # noqa: SLF001 - the oracle
    expected = ssl.cert_time_to_seconds(decode(TLS / name)["notAfter"])
    assert certificate_end(TLS / name).timestamp() == expected


@pytest.mark.parametrize(
    "text",
    ["", "no certificate", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"],
    ids=["empty", "other text", "too short"],
)
def test_a_file_without_a_certificate_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "client.pem"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"client\.pem"):
        certificate_end(path)

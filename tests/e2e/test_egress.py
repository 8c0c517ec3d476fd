"""A worker behind an egress proxy: mutual TLS through it, and nothing lost while it is away."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bank.tls_files import AUTHORITY, HERE, at_localhost, server_context
from tests.e2e.canaries import tables_as_text, traces
from tests.e2e.producers import order, send
from tests.servers.egress import PASSWORD, EgressProxy, MakeEgress
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID, SECRET, StartWorker
from worker.sandbox import Sandbox
from worker.store import Store

KEY = "canary-a2V5LW9mLWEtZ2F0ZXdheQ"
SECRETS = {"partner": SECRET, "proxy": PASSWORD, "gateway": KEY}
AGAIN = {
    "KPLUS_BACKOFF_BASE_SECONDS": "0.1",
    "KPLUS_BACKOFF_CAP_SECONDS": "0.1",
    "KPLUS_COOLDOWN_BASE_SECONDS": "0.1",
    "KPLUS_COOLDOWN_CAP_SECONDS": "0.1",
    "KPLUS_MAX_ATTEMPTS": "10000",
}


@pytest.fixture
def secure_bank() -> Iterator[Sandbox]:
    """A simulated bank that wants our certificate."""
    context = server_context(asks_for_client=True)
    with Sandbox(secrets={PARTNER_ID: SECRET}, ssl_context=context) as bank:
        yield bank
        assert bank.faults == []


@pytest.fixture
def behind_a_proxy(
    worker_env: dict[str, str], secure_bank: Sandbox, tmp_path: Path
) -> dict[str, str]:
    """The settings of a worker that reaches the bank by a proxy alone, whose URL is in a file."""
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "partners.toml").write_text(
        f"[partners.{PARTNER_ID}]\n"
        'secret_file = "secret"\n'
        f'bank_url = "{at_localhost(secure_bank)}"\n'
        f'client_cert = "{HERE / "client.pem"}"\n'
        f'client_key = "{HERE / "client_key.pem"}"\n'
        f'ca_bundle = "{AUTHORITY}"\n'
        'headers = { "x-api-key" = { file = "key" }, env-id = "AB" }\n'
    )
    for name in ("KPLUS_PARTNER_ID", "KPLUS_PARTNER_SECRET", "KPLUS_BANK_URL"):
        del worker_env[name]
    return worker_env | AGAIN | {"KPLUS_PARTNERS_FILE": str(tmp_path / "partners.toml")}


def through(proxy: EgressProxy, folder: Path) -> dict[str, str]:
    """Return the setting of a proxy with a password, which stands in a file."""
    (folder / "proxy-url").write_text(f"{proxy.url}\n")
    return {"KPLUS_PROXY_URL_FILE": str(folder / "proxy-url")}


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_worker_cancels_through_a_proxy_that_sees_connect_alone_and_survives_its_absence(
    behind_a_proxy: dict[str, str],
    worker_process: StartWorker,
    broker_url: str,
    secure_bank: Sandbox,
    store: Store,
    egress: MakeEgress,
    tmp_path: Path,
) -> None:
    proxy = egress(wants_a_user=True)
    worker = worker_process(behind_a_proxy | through(proxy, tmp_path), "--log-level", "debug")
    uids = [f"UID{number}" for number in range(30)]
    send(broker_url, [order(uid, f"ok-{uid}") for uid in uids[:10]])
    eventually(lambda: store.reports.stats().states["succeeded"] == 10, saying=worker.told)

    proxy.stop()
    send(broker_url, [order(uid, f"ok-{uid}") for uid in uids[10:]])
    eventually(lambda: "proxy_failed" in str(store.reports.file("UID10")), saying=worker.told)
    assert len(secure_bank.journal.entries()) == 10
    proxy.start()
    eventually(lambda: store.reports.stats().states["succeeded"] == 30, saying=worker.told)
    assert worker.stop() == 0

    assert secure_bank.journal.posts_per_uid() == dict.fromkeys(uids, 1)
    requests = proxy.requests()
    assert requests
    assert {line.split()[0] for line in requests} == {"CONNECT"}
    places = {"log of the worker": worker.told(), "log of the proxy": proxy.log()}
    assert traces(SECRETS, places | tables_as_text(store.database.engine)) == []
    assert f'"proxy": "127.0.0.1:{proxy.port}"' in worker.told()


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_the_start_says_that_a_proxy_of_the_environment_is_not_used(
    worker_env: dict[str, str], worker_process: StartWorker
) -> None:
    other = {"HTTPS_PROXY": "http://user:canary-other@127.0.0.1:9"}
    worker = worker_process(worker_env | other)
    assert '"proxy_not_used"' in worker.told()
    assert "HTTPS_PROXY is set, and not used" in worker.told()
    assert "canary-other" not in worker.told()

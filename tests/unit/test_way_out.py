"""The settings of the way out: who goes through which proxy, and what is told of it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.servers.receivers import SECRET
from worker.config.destinations import Webhook
from worker.config.proxies import OTHERS
from worker.config.settings import GivenSettings, Settings
from worker.domain.partners import Partner
from worker.telemetry.redaction import redact

BANK = "https://bank.example/cancel"
HOOK: dict[str, Any] = {"webhook_url": "https://orders.example/x", "webhook_secret": SECRET}
ONE: dict[str, Any] = {"partner_id": "P1", "partner_secret": "canary-secret", "bank_url": BANK}


def given(**settings: Any) -> Settings:
    return GivenSettings.model_validate(settings)


def refused(**settings: Any) -> str:
    with pytest.raises(ValidationError) as told:
        given(**settings)
    assert "canary" not in str(told.value)
    return str(told.value)


def partner_of(settings: Settings) -> Partner:
    return settings.roster()["P1"]


def webhook_of(settings: Settings) -> Webhook:
    assert settings.webhook is not None
    return settings.webhook


def test_without_a_proxy_every_way_is_direct() -> None:
    settings = given(**ONE, **HOOK)
    assert settings.proxy is None
    assert partner_of(settings).proxy is None
    assert webhook_of(settings).proxy is None


def test_one_proxy_serves_the_bank_and_the_webhook_but_for_the_hosts_that_are_excepted(
    tmp_path: Path,
) -> None:
    bundle = tmp_path / "ca.pem"
    url = "https://user:canary-proxy@out.example"
    settings = given(
        **ONE, **HOOK, proxy_url=url, no_proxy=".orders.example", proxy_ca_bundle=bundle
    )
    proxy = partner_of(settings).proxy
    assert proxy is not None
    assert (proxy.name, proxy.is_tls, proxy.ca_bundle) == ("out.example:443", True, bundle)
    assert webhook_of(settings).proxy == proxy
    assert webhook_of(settings).proxy_on_the_way is None
    assert redact("canary-proxy") == "[redacted]"
    assert "canary" not in f"{settings!r} {settings.webhook!r}"


def test_the_webhook_may_have_another_proxy_or_none() -> None:
    settings = given(**ONE, **HOOK, proxy_url="http://out.example", no_proxy="orders.example")
    own = given(
        **HOOK,
        proxy_url="http://out.example",
        no_proxy="orders.example",
        webhook_proxy_url="http://u:canary-hook@in.example:1",
    )
    assert webhook_of(settings).proxy_on_the_way is None
    through = webhook_of(own).proxy_on_the_way
    assert through is not None
    assert through.name == "in.example:1"
    assert redact("canary-hook") == "[redacted]"
    direct = given(**HOOK, proxy_url="http://out.example", webhook_proxy_url="direct")
    assert webhook_of(direct).proxy is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"proxy_url": "socks5://canary"}, "SOCKS is not supported"),
        ({"no_proxy": "x, http://canary"}, "its entry 2 is no host"),
        (HOOK | {"webhook_proxy_url": "canary"}, "KPLUS_WEBHOOK_PROXY_URL must be the address"),
        ({"webhook_proxy_url": "http://canary"}, "KPLUS_WEBHOOK_PROXY_URL is set without"),
        (
            HOOK | {"proxy_url": "http://p", "webhook_url": "http://127.0.0.1/canary"},
            "KPLUS_WEBHOOK_URL begins with http://, and a proxy can read",
        ),
        ({"bank_url": "https://user:canary@bank.example/"}, "must hold no user and no password"),
        ({"inquiry_url": "https://canary@bank.example/"}, "must hold no user and no password"),
    ],
)
def test_what_cannot_be_used_is_refused_and_not_shown(settings: dict[str, Any], says: str) -> None:
    assert says in refused(**settings)


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names a proxy for other programs."""
    for name in OTHERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://u:canary@elsewhere:3128")
    return monkeypatch


def test_a_proxy_of_the_environment_is_told_where_none_of_ours_is_set(
    other: pytest.MonkeyPatch,
) -> None:
    settings = given(**ONE)
    told = settings.unused_proxies(settings.roster().values())
    assert told.startswith("https_proxy is set, and not used")
    assert "KPLUS_PROXY_URL" in told
    assert "canary" not in told
    for url in ("http://p", "direct"):
        set_here = given(**ONE, proxy_url=url)
        assert set_here.unused_proxies(set_here.roster().values()) == ""
    other.delenv("https_proxy")
    assert settings.unused_proxies([]) == ""


def test_a_proxy_of_a_partner_is_enough(other: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "partners.toml"
    file.write_text('[partners.P1]\nsecret = "canary-secret"\nproxy_url = "http://p"\n')
    settings = given(partners_file=file)
    assert settings.unused_proxies(settings.roster().values()) == ""

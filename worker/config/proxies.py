"""The settings of the way out: an egress proxy, and the hosts that are reached without it."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings

from worker.config.sources import setting
from worker.domain.partners import Partner
from worker.net.proxy import DIRECT, Exceptions, Proxy

OTHERS: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
"""Where other programs look for a proxy. Nothing of these is used: too much sets them."""


class ProxySettings(BaseSettings):
    """A part of `config.Settings`. If none is set, every connection is direct."""

    proxy_url: SecretStr | None = setting(
        None,
        "the HTTP proxy on the way to the bank and to the webhook: "
        "`http://user:password@proxy.example:3128`, or `https://` if it speaks TLS itself",
    )
    no_proxy: str = setting(
        "",
        "the hosts that are reached without `KPLUS_PROXY_URL`: names (with all below them), "
        "addresses, networks, `*`; divided by commas",
    )
    proxy_ca_bundle: Path | None = setting(
        None, "PEM, the authorities of an `https://` proxy; unset: the public ones"
    )

    @field_validator("proxy_url")
    @classmethod
    def _is_a_proxy(cls, value: SecretStr | None) -> SecretStr | None:
        Proxy.from_settings(value)
        return value

    @field_validator("no_proxy")
    @classmethod
    def _lists_hosts(cls, value: str) -> str:
        Exceptions.read(value)
        return value

    @property
    def proxy(self) -> Proxy | None:
        """The proxy of the installation, or None."""
        return Proxy.from_settings(
            self.proxy_url, exceptions=self.no_proxy, ca_bundle=self.proxy_ca_bundle
        )

    @property
    def proxied(self) -> dict[str, Any]:
        """The fields of a partner that says nothing of a proxy."""
        return {
            "proxy_url": self.proxy_url,
            "no_proxy": self.no_proxy,
            "proxy_ca_bundle": self.proxy_ca_bundle,
        }

    def proxy_or(self, own: SecretStr | None) -> Proxy | None:
        """Return the proxy that a URL names of its own, or else the installation's."""
        if own is None:
            return self.proxy
        return Proxy.from_settings(own, ca_bundle=self.proxy_ca_bundle)

    def unused_proxies(self, partners: Iterable[Partner]) -> str:
        """
        Return a sentence if the environment names a proxy and nothing here does; else nothing.

        It shows no value: a password may stand in it.
        """
        names = [name for name in OTHERS if os.environ.get(name)]
        if not names or self.proxy_url is not None or any(each.proxy for each in partners):
            return ""
        return (
            f"{names[0]} is set, and not used: if the bank is behind that proxy, set "
            f"KPLUS_PROXY_URL (`{DIRECT}` if it is not)"
        )

"""An egress proxy: its address, who we are to it, and the hosts that are reached without it."""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import SplitResult, unquote, urlsplit

DIRECT = "direct"
"""In place of a proxy's address: none is used, although the installation has one."""
_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"\.?[a-z0-9_]([a-z0-9_.-]{0,250}[a-z0-9_])?\.?")
_ADDRESS = re.compile(r"https?://[!-~]{1,2000}", re.IGNORECASE)


class Secret(Protocol):
    """A text that is hidden, as the settings keep it."""

    def get_secret_value(self) -> str:
        """Return the text itself."""
        ...


@dataclass(frozen=True)
class Exceptions:
    """The hosts that are reached without the proxy."""

    names: tuple[str, ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    everything: bool = False

    @classmethod
    def read(cls, text: str) -> Self:
        """
        Return the hosts of a list: names, addresses, networks, and `*` for all.

        A name stands for the hosts below it too. Raises ValueError, which shows nothing of it.
        """
        names: list[str] = []
        networks: list[IPv4Network | IPv6Network] = []
        for number, given in enumerate(re.split(r"[,\s]+", text.strip(" ,\t\r\n")), 1):
            entry = _plain(given if given == "*" else given.removeprefix("*"))
            try:
                networks.append(ip_network(entry, strict=False))
            except ValueError:
                if entry not in {"", "*"} and not _NAME.fullmatch(entry):
                    raise ValueError(
                        f"its entry {number} is no host, domain, address or network "
                        f"(bank.example, .corp.example, 10.1.2.3, 10.0.0.0/8, *)"
                    ) from None
                names.append(entry.strip("."))
        everything = "*" in names
        return cls(tuple(name for name in names if name not in {"", "*"}), (*networks,), everything)

    def hold(self, host: str) -> bool:
        """Say whether a host is among them."""
        name = _plain(host)
        try:
            address = ip_address(name)
        except ValueError:
            return self.everything or any(
                name == each or name.endswith(f".{each}") for each in self.names
            )
        return self.everything or any(address in network for network in self.networks)


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that opens tunnels. Neither its `repr` nor its `name` shows a password."""

    host: str
    port: int
    is_tls: bool
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)
    exceptions: Exceptions = Exceptions()
    ca_bundle: Path | None = None

    @classmethod
    def read(cls, url: str, *, exceptions: str = "", ca_bundle: Path | None = None) -> Self:
        """
        Return the proxy at a URL. Raises ValueError; the error never shows the URL.

        A user and a password in it are for the proxy. `exceptions` are read by `Exceptions`.
        """
        parts = _split(url)
        return cls(
            host=_plain(parts.hostname or ""),
            port=parts.port or _PORTS[parts.scheme],
            is_tls=parts.scheme == "https",
            user=None if parts.username is None else unquote(parts.username),
            password=unquote(parts.password or ""),
            exceptions=Exceptions.read(exceptions),
            ca_bundle=ca_bundle,
        )

    @classmethod
    def from_settings(
        cls, url: Secret | None, *, exceptions: str = "", ca_bundle: Path | None = None
    ) -> Self | None:
        """Return the proxy of a setting: None if unset, or `direct`. Raises as `read` does."""
        if url is None or url.get_secret_value() == DIRECT:
            return None
        return cls.read(url.get_secret_value(), exceptions=exceptions, ca_bundle=ca_bundle)

    @property
    def name(self) -> str:
        """The part of its address that may be shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @cached_property
    def authorization(self) -> str | None:
        """What `Proxy-Authorization` says, None without a user (RFC 7617)."""
        if self.user is None:
            return None
        return f"Basic {b64encode(f'{self.user}:{self.password}'.encode()).decode('ascii')}"

    def serves(self, host: str) -> bool:
        """Say whether a host is reached through the proxy."""
        return not self.exceptions.hold(host)


def check_behind(proxy: Proxy | None, url: str) -> None:
    """
    Raise ValueError if a request to the URL must not go through the proxy.

    Without TLS the proxy could read the request, and the secret in it.
    """
    if proxy is None or not url.startswith("http://"):
        return
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # it is no URL, and nothing can be sent there
        return
    if proxy.serves(host):
        raise ValueError(
            "begins with http://, and a proxy can read what is sent without TLS: use https://, "
            "or reach this host without the proxy (KPLUS_NO_PROXY)"
        )


def _plain(host: str) -> str:
    """Return a host in small letters, in the form that is looked up."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _split(url: str) -> SplitResult:
    try:
        parts: SplitResult | None = urlsplit(url) if _ADDRESS.fullmatch(url) else None
        usable = parts is not None and parts.hostname and parts.port != 0
    except ValueError:  # no URL, or a port above 65535
        parts, usable = None, False
    if parts is None or not usable:
        raise ValueError(
            "must be the address of an HTTP proxy, such as http://proxy.example:3128 "
            "(https:// for a proxy that speaks TLS itself; SOCKS is not supported)"
        )
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(
            "must end with its port: what follows is not used (in a user or a password, "
            "write / as %2F, ? as %3F and # as %23)"
        )
    if ":" in unquote(parts.username or ""):
        raise ValueError("must name a user without a colon (RFC 7617)")
    return parts

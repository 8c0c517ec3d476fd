"""The settings of each destination of outcomes: a webhook, and a Celery task."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from worker.domain.signatures import read_key
from worker.domain.validation import IDENTIFIER, split_url
from worker.net.proxy import Proxy, check_behind

OURS: Final = "kplus."
"""The prefix of the names of our own tasks and queues."""
_MAX_NAME_LENGTH = 200
_URL = re.compile(r"https?://[!-~]{1,2000}")


@dataclass(frozen=True, slots=True)
class Webhook:
    """The URL that events are posted to, and the secrets that sign them; hidden in its `repr`."""

    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    ca_bundle: Path | None
    deadline: timedelta
    proxy: Proxy | None = None

    @classmethod
    def read(  # noqa: PLR0913 - settings, each by its name
        cls,
        url: SecretStr | None,
        *,
        secret: SecretStr | None,
        previous: SecretStr | None,
        ca_bundle: Path | None,
        proxy: SecretStr | None,
        way_out: Callable[[SecretStr | None], Proxy | None],
        deadline: timedelta,
    ) -> Self | None:
        """Return the webhook, None without a URL. Raises ValueError, which names the setting."""
        if url is None:
            given = {
                "SECRET": secret,
                "PREVIOUS_SECRET": previous,
                "CA_BUNDLE": ca_bundle,
                "PROXY_URL": proxy,
            }
            for name in (name for name, value in given.items() if value is not None):
                raise ValueError(f"KPLUS_WEBHOOK_{name} is set without KPLUS_WEBHOOK_URL")
            return None
        if secret is None:
            raise ValueError(
                "KPLUS_WEBHOOK_SECRET is missing: it signs what is posted to KPLUS_WEBHOOK_URL"
            )
        _check_url(url.get_secret_value())
        for name, value in (("SECRET", secret), ("PREVIOUS_SECRET", previous)):
            _check_secret(f"KPLUS_WEBHOOK_{name}", value)
        secrets = tuple(each.get_secret_value() for each in (secret, previous) if each is not None)
        through = _proxy(proxy, way_out)
        try:
            check_behind(through, url.get_secret_value())
        except ValueError as error:
            raise ValueError(f"KPLUS_WEBHOOK_URL {error}") from None
        return cls(url.get_secret_value(), secrets, ca_bundle, deadline, through)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys that sign, the current one first."""
        return tuple(map(read_key, self.secrets))

    @property
    def proxy_on_the_way(self) -> Proxy | None:
        """The proxy that posts go through, None if the receiver is reached without."""
        host = urlsplit(self.url).hostname or ""
        return self.proxy if self.proxy is not None and self.proxy.serves(host) else None

    @property
    def origin(self) -> str:
        """The part of the URL that may be shown: its path may be secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True)
class Message:
    """The task that is sent for each event, and the queue that it is sent to."""

    task: str
    queue: str

    @classmethod
    def read(cls, task: str | None, queue: str | None) -> Self | None:
        """Return the message, None without one. Raises ValueError, which names the setting."""
        if task is None and queue is None:
            return None
        for name, value in (("KPLUS_OUTCOME_TASK", task), ("KPLUS_OUTCOME_QUEUE", queue)):
            if value is None:
                raise ValueError(f"{name} is missing: task and queue are set together")
            if len(value) > _MAX_NAME_LENGTH or not re.fullmatch(IDENTIFIER, value):
                raise ValueError(f"{name} must be 1 to 200 printable characters without spaces")
            if value.startswith(OURS):
                raise ValueError(f"{name} must be the order system's own, not one of {OURS}…")
        return cls(str(task), str(queue))


def _proxy(
    own: SecretStr | None, way_out: Callable[[SecretStr | None], Proxy | None]
) -> Proxy | None:
    try:
        return way_out(own)
    except ValueError as error:  # only its own can be wrong: the installation's was read before
        raise ValueError(f"KPLUS_WEBHOOK_PROXY_URL {error}") from None


def _check_secret(name: str, secret: SecretStr | None) -> None:
    try:
        if secret is not None:
            read_key(secret.get_secret_value())
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def _check_url(url: str) -> None:
    """Raise ValueError if nothing may be posted to the URL; the error never shows it."""
    parts = split_url(url) if _URL.fullmatch(url) else None
    if parts is None:
        raise ValueError("KPLUS_WEBHOOK_URL must be a whole URL: https://host/path")
    if "@" in parts.netloc:
        raise ValueError("KPLUS_WEBHOOK_URL must hold no user: the signature proves who we are")
    if parts.fragment:
        raise ValueError("KPLUS_WEBHOOK_URL must hold no fragment: it would not be sent")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ValueError("KPLUS_WEBHOOK_URL must begin with https://, but for this machine itself")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

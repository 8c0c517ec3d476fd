"""The partners for which the bank is called: identity, credentials, URLs."""

import hashlib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from worker.domain.headers import Headers
from worker.domain.validation import IDENTIFIER, WEB_ADDRESS, check_no_user
from worker.errors import MissingPartner
from worker.net.proxy import Exceptions, Proxy, check_behind


def _without_user(url: str) -> str:
    check_no_user(url)
    return url


HttpUrl = Annotated[str, Field(pattern=WEB_ADDRESS), AfterValidator(_without_user)]
"""The URL of a call of the bank."""


class PartnerMode(StrEnum):
    """Whether a partner takes calls: yes, not until it is resumed, or not for a while."""

    ACTIVE = "active"
    PAUSED = "paused"
    COOLING = "cooling"


class UnknownPartner(StrEnum):
    """What becomes of an order whose partner is not configured where it is handed in."""

    WARN = "warn"
    REFUSE = "refuse"


class Partner(BaseModel):
    """One contract with the bank. Its `repr` never shows the secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    partner_id: str = Field(min_length=1, max_length=64, pattern=IDENTIFIER)
    secret: SecretStr = Field(min_length=1)
    proxy_url: SecretStr | None = None
    no_proxy: str = ""
    proxy_ca_bundle: Path | None = None
    bank_url: HttpUrl  # after the proxy, which may not be for it
    inquiry_url: HttpUrl | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    client_key_password_file: Path | None = None
    ca_bundle: Path | None = None
    headers: Headers = ()
    rate_per_second: float | None = Field(default=None, ge=0.001, le=1e6, allow_inf_nan=False)
    max_concurrency: int | None = Field(default=None, gt=0, le=1_000_000)

    _tls_files: str = PrivateAttr(default="")

    def model_post_init(self, context: Any) -> None:
        """
        Keep a digest of the TLS files: with other contents this is another partner.

        The caller reads the files and passes `tls_files` in the context of the validation.
        """
        self._tls_files = (context or {}).get("tls_files", "")

    @property
    def is_limited(self) -> bool:
        """Whether the partner's own settings limit its calls."""
        return self.rate_per_second is not None or self.max_concurrency is not None

    @cached_property
    def credentials(self) -> str:
        """
        A fingerprint, 16 hexadecimal digits, of everything that identifies us to the bank.

        It changes with the secret, the URLs, the headers, the proxy, and the contents of the TLS
        files. It is stored with a pause, so it is made slow to guess the secret from it (scrypt,
        RFC 7914).
        """
        parts = [self.secret.get_secret_value(), self.bank_url, self.inquiry_url or ""]
        # What is not set adds nothing: an upgrade must not look like a change.
        further = [f"{name}: {value}" for name, value in self.plain_headers().items()]
        if self.proxy_url is not None:
            further += [self.proxy_url.get_secret_value(), self.no_proxy]
        identity = "\0".join([*parts, self._tls_files, *further]).encode()
        salt = self.partner_id.encode()
        return hashlib.scrypt(identity, salt=salt, n=2**14, r=8, p=1, dklen=8).hex()

    @cached_property
    def proxy(self) -> Proxy | None:
        """The proxy on the way to the bank, or None."""
        return Proxy.from_settings(
            self.proxy_url, exceptions=self.no_proxy, ca_bundle=self.proxy_ca_bundle
        )

    def plain_headers(self) -> dict[str, str]:
        """Return what is sent beside the bank's own headers; for the request alone."""
        return {name: value.get_secret_value() for name, value in self.headers}

    @field_validator("proxy_url")
    @classmethod
    def _is_a_proxy(cls, value: SecretStr | None) -> SecretStr | None:
        """Return None for `direct`: a partner without a proxy is one, whatever it says."""
        return value if Proxy.from_settings(value) is not None else None

    @field_validator("no_proxy")
    @classmethod
    def _lists_hosts(cls, value: str) -> str:
        Exceptions.read(value)
        return value

    @field_validator("bank_url", "inquiry_url")
    @classmethod
    def _may_pass_the_proxy(cls, value: str | None, info: ValidationInfo) -> str | None:
        given = info.data
        if value is not None and "proxy_url" in given and "no_proxy" in given:
            proxy = Proxy.from_settings(given["proxy_url"], exceptions=given["no_proxy"])
            check_behind(proxy, value)
        return value

    @field_validator("secret")
    @classmethod
    def _fits_in_a_header(cls, value: SecretStr) -> SecretStr:
        secret = value.get_secret_value()
        if not (secret.isascii() and secret.isprintable()) or secret != secret.strip():
            message = "must be printable ASCII without spaces around it: it is a header"
            raise ValueError(message)
        return value


class Roster(Mapping[str, Partner]):
    """The configured partners by id; immutable."""

    def __init__(self, partners: Mapping[str, Partner]) -> None:
        self._partners = dict(partners)

    def __getitem__(self, partner_id: str) -> Partner:
        return self._partners[partner_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._partners)

    def __len__(self) -> int:
        return len(self._partners)

    def resolve(self, partner_id: str | None, *, default: str | None = None) -> str:
        """
        Return the partner of an order.

        An order may leave out its partner if exactly one is configured. If none is, as at a
        producer without a secret, `default` is used. Raises `MissingPartner` otherwise.
        """
        if partner_id is not None:
            return partner_id
        if not self and default is not None:
            return default
        if len(self) == 1:
            return next(iter(self))
        known = ", ".join(sorted(self)) or "none"
        message = f"partnerId is missing and cannot be assumed (configured partners: {known})"
        raise MissingPartner(message)

    def stranger(self, partner_id: str) -> str:
        """Return that a partner is not configured here; empty if it is, or if none is."""
        if not self or partner_id in self:
            return ""
        return f"partner {partner_id} is not configured here (known: {', '.join(sorted(self))})"

    @cached_property
    def inquirers(self) -> list[str]:
        """The partners that have an inquiry URL."""
        return [pid for pid, partner in self.items() if partner.inquiry_url is not None]

    @cached_property
    def unlimited(self) -> list[str]:
        """The partners whose own settings do not limit their calls."""
        return [pid for pid, partner in self.items() if not partner.is_limited]

    def secrets(self) -> list[str]:
        """Return every secret value, for redaction only."""
        return [partner.secret.get_secret_value() for partner in self.values()]

"""The partners on whose behalf the bank is called: identity, credentials, addresses."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)

from worker.complaints import IDENTIFIER, WEB_ADDRESS, complaints
from worker.errors import MissingPartner, SettingsError

HttpUrl = Annotated[str, Field(pattern=WEB_ADDRESS)]


class Partner(BaseModel):
    """One contract with the bank. Its `repr` never shows the secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    partner_id: str = Field(min_length=1, max_length=64, pattern=IDENTIFIER)
    secret: SecretStr = Field(min_length=1)
    bank_url: HttpUrl
    inquiry_url: HttpUrl | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    client_key_password_file: Path | None = None
    ca_bundle: Path | None = None
    rate_per_second: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_concurrency: int | None = Field(default=None, gt=0)

    _tls_files: str = PrivateAttr(default="")

    def model_post_init(self, _context: Any) -> None:
        """Note what the TLS files hold: with other contents this is another partner."""
        files = (self.client_cert, self.client_key, self.client_key_password_file, self.ca_bundle)
        self._tls_files = " ".join(map(_contents, files))

    @property
    def is_limited(self) -> bool:
        """Whether the partner's own settings bound its calls."""
        return self.rate_per_second is not None or self.max_concurrency is not None

    @cached_property
    def credentials(self) -> str:
        """
        A fingerprint, 16 hexadecimal digits, of all that proves to the bank who we are.

        It changes with the secret, the addresses, and the contents of the TLS files. It is
        stored beside a pause, so guessing the secret from it is made slow (RFC 7914).
        """
        shown = [self.secret.get_secret_value(), self.bank_url, self.inquiry_url or ""]
        proof = "\0".join([*shown, self._tls_files]).encode()
        salt = self.partner_id.encode()
        return hashlib.scrypt(proof, salt=salt, n=2**14, r=8, p=1, dklen=8).hex()

    @field_validator("secret")
    @classmethod
    def _travels_in_a_header(cls, value: SecretStr) -> SecretStr:
        secret = value.get_secret_value()
        if not (secret.isascii() and secret.isprintable()) or secret != secret.strip():
            message = "must be printable ASCII without spaces around it: it is a header"
            raise ValueError(message)
        return value


def _contents(path: Path | None) -> str:
    """Return a word for what a file holds now; an unreadable one has a word of its own."""
    if path is None:
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return "unreadable"


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

    def resolve(self, partner_id: str | None, *, named: str | None = None) -> str:
        """
        Return the partner an order belongs to.

        An order may leave its partner out only where exactly one is configured, or where none
        is and one is `named`, as at a producer, which knows no secret; otherwise
        `MissingPartner` says so.
        """
        if partner_id is not None:
            return partner_id
        if not self and named is not None:
            return named
        if len(self) == 1:
            return next(iter(self))
        known = ", ".join(sorted(self)) or "none"
        message = f"partnerId is missing and cannot be assumed (configured partners: {known})"
        raise MissingPartner(message)

    @cached_property
    def inquirers(self) -> list[str]:
        """The partners that can ask what became of a token."""
        return [pid for pid, partner in self.items() if partner.inquiry_url is not None]

    @cached_property
    def unlimited(self) -> list[str]:
        """The partners whose calls no setting of theirs bounds."""
        return [pid for pid, partner in self.items() if not partner.is_limited]

    def secrets(self) -> list[str]:
        """Return every secret value, for redaction only."""
        return [partner.secret.get_secret_value() for partner in self.values()]


def load_roster(path: Path, *, bank_url: str, inquiry_url: str | None) -> Roster:
    """
    Read `[partners.ID]` tables of a TOML file; URLs left out are the installation's.

    Raises `SettingsError` naming the file, the partner and the key.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    # ValueError: no UTF-8, no TOML, or a number too long; RecursionError: too deep. Without
    # its cause, which may carry the whole file, secrets included.
    except (OSError, ValueError, RecursionError) as error:
        message = f"KPLUS_PARTNERS_FILE: {path} cannot be read: {error}"
        raise SettingsError(message) from None
    tables = document.get("partners")
    if not isinstance(tables, dict) or not tables:
        message = f"KPLUS_PARTNERS_FILE: {path} has no [partners.ID] table"
        raise SettingsError(message)
    defaults = {"bank_url": bank_url, "inquiry_url": inquiry_url}
    return Roster({pid: _partner(path, pid, table, defaults) for pid, table in tables.items()})


def _partner(path: Path, partner_id: str, table: Any, defaults: dict[str, Any]) -> Partner:
    where = f"KPLUS_PARTNERS_FILE: {path}, [partners.{partner_id}]"
    if not isinstance(table, dict):
        message = f"{where}: must be a table"
        raise SettingsError(message)
    fields = {**defaults, **table, "partner_id": partner_id}
    secret_file = fields.pop("secret_file", None)
    if (secret_file is None) == ("secret" not in fields):
        message = f"{where}: give either secret or secret_file"
        raise SettingsError(message)
    if secret_file is not None:
        fields["secret"] = read_secret(path.parent / str(secret_file), where)
    for name in ("client_cert", "client_key", "client_key_password_file", "ca_bundle"):
        if isinstance(fields.get(name), str):
            fields[name] = path.parent / fields[name]
    try:
        return Partner(**fields)
    except ValidationError as error:
        raise SettingsError("\n".join(f"{where}: {line}" for line in complaints(error))) from None


def read_secret(path: Path, where: str) -> str:
    """Return a secret file's text without its final line break; `SettingsError` if unusable."""
    try:
        secret = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        message = f"{where}: the file {path} cannot be read: {error.strerror}"
        raise SettingsError(message) from None
    except UnicodeDecodeError:
        message = f"{where}: the file {path} cannot be read: it is not UTF-8 text"
        raise SettingsError(message) from None
    except ValueError:  # a NUL in the path
        message = f"{where}: the path of the file cannot be read"
        raise SettingsError(message) from None
    if not secret:
        message = f"{where}: the file {path} is empty"
        raise SettingsError(message)
    return secret

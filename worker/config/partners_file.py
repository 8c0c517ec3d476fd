"""The partners' file: `[partners.ID]` tables of TOML, and the secret files beside them."""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from worker.config.url_secrets import url_secrets
from worker.domain.partners import Partner, Roster
from worker.domain.validation import error_lines
from worker.errors import SettingsError
from worker.telemetry.credentials import is_credential
from worker.telemetry.redaction import protect

TLS_FILES = ("client_cert", "client_key", "client_key_password_file", "ca_bundle")


def load_roster(
    path: Path,
    *,
    bank_url: str,
    inquiry_url: str | None,
    proxied: Mapping[str, Any] = MappingProxyType({}),
) -> Roster:
    """
    Read `[partners.ID]` tables of a TOML file; the installation's URLs are the defaults.

    `proxied` are the fields of a partner that says nothing of a proxy.

    Raises `SettingsError`, which names the file, the partner and the key.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    # ValueError: not UTF-8, not TOML, or a number too long; RecursionError: too deep. Raised
    # without its cause, which may contain the whole file with its secrets.
    except (OSError, ValueError, RecursionError) as error:
        message = f"KPLUS_PARTNERS_FILE: {path} cannot be read: {error}"
        raise SettingsError(message) from None
    tables = document.get("partners")
    if not isinstance(tables, dict) or not tables:
        message = f"KPLUS_PARTNERS_FILE: {path} has no [partners.ID] table"
        raise SettingsError(message)
    defaults: dict[str, Any] = {"bank_url": bank_url, "inquiry_url": inquiry_url}
    defaults |= proxied
    return Roster({pid: _partner(path, pid, table, defaults) for pid, table in tables.items()})


def _partner(path: Path, partner_id: str, table: object, defaults: Mapping[str, Any]) -> Partner:
    where = f"KPLUS_PARTNERS_FILE: {path}, [partners.{partner_id}]"
    if not isinstance(table, dict):
        message = f"{where}: must be a table"
        raise SettingsError(message)
    own = {**_proxy(path, where, table), "partner_id": partner_id}
    fields = {**defaults, **own}
    if "proxy_url" in own:  # the exceptions belong to the proxy that was replaced
        fields["no_proxy"] = own.get("no_proxy", "")
    secret_file = fields.pop("secret_file", None)
    if (secret_file is None) == ("secret" not in fields):
        message = f"{where}: give either secret or secret_file"
        raise SettingsError(message)
    if secret_file is not None:
        fields["secret"] = read_secret(path.parent / str(secret_file), where)
    if isinstance(secret := fields["secret"], str):
        protect([secret])
    if isinstance(headers := fields.get("headers"), dict):
        fields["headers"] = _headers(path, where, headers, partner_id=partner_id)
    for name in (*TLS_FILES, "proxy_ca_bundle"):
        if isinstance(file := fields.get(name), str):
            fields[name] = path.parent / file
    try:
        return Partner.model_validate(fields, context={"tls_files": _tls_files(fields)})
    except ValidationError as error:
        raise SettingsError("\n".join(f"{where}: {line}" for line in error_lines(error))) from None


def _proxy(path: Path, where: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a partner's table with its `proxy_url`, whose file is read if one is named."""
    own = dict(table)
    file = own.pop("proxy_url_file", None)
    if file is not None and "proxy_url" in own:
        raise SettingsError(f"{where}: give either proxy_url or proxy_url_file")
    if file is not None:
        own["proxy_url"] = read_secret(path.parent / str(file), where)
    if isinstance(url := own.get("proxy_url"), str):
        protect(url_secrets(url))
    return own


def _headers(
    path: Path, where: str, headers: Mapping[str, Any], *, partner_id: str
) -> dict[str, Any]:
    """
    Return the headers with their values; one that is `{ file = "…" }` is read from there.

    A value from a file is a secret. So is one whose name is a credential's, but not the partner's
    id: that stands everywhere.
    """
    values: dict[str, Any] = {}
    for name, value in headers.items():
        if isinstance(value, dict) and value.keys() == {"file"}:
            values[name] = read_secret(path.parent / str(value["file"]), f"{where}, headers")
        elif isinstance(value, str):
            values[name] = value
            if is_credential(name) and value != partner_id:
                protect([value])
        else:
            raise SettingsError(f'{where}: headers: give each a text, or {{ file = "path" }}')
    return values


def _tls_files(fields: Mapping[str, Any]) -> str:
    """Return a digest of the TLS files: it changes with the contents of each."""
    names = (*TLS_FILES, "proxy_ca_bundle") if fields.get("proxy_ca_bundle") else TLS_FILES
    return " ".join(_digest(fields.get(name)) for name in names)


def _digest(path: object) -> str:
    """Return a digest of a file's contents, or `unreadable`; empty if there is no file."""
    if not isinstance(path, Path):
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return "unreadable"


def read_secret(path: Path, where: str) -> str:
    """
    Return a secret file's text without its final line break; `SettingsError` if unusable.

    It is registered, so that nothing shows it from now on.
    """
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
    protect([secret])
    return secret

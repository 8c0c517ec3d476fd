"""The partners' file: `[partners.ID]` tables of TOML, and the secret files beside them."""

import hashlib
import tomllib
from pathlib import Path

from pydantic import ValidationError

from worker.domain.partners import Partner, Roster
from worker.domain.validation import error_lines
from worker.errors import SettingsError
from worker.telemetry.redaction import protect

TLS_FILES = ("client_cert", "client_key", "client_key_password_file", "ca_bundle")


def load_roster(path: Path, *, bank_url: str, inquiry_url: str | None) -> Roster:
    """
    Read `[partners.ID]` tables of a TOML file; the installation's URLs are the defaults.

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
    defaults = {"bank_url": bank_url, "inquiry_url": inquiry_url}
    return Roster({pid: _partner(path, pid, table, defaults) for pid, table in tables.items()})


def _partner(
    path: Path, partner_id: str, table: object, defaults: dict[str, str | None]
) -> Partner:
    where = f"KPLUS_PARTNERS_FILE: {path}, [partners.{partner_id}]"
    if not isinstance(table, dict):
        message = f"{where}: must be a table"
        raise SettingsError(message)
    fields: dict[str, object] = {**defaults, **table, "partner_id": partner_id}
    secret_file = fields.pop("secret_file", None)
    if (secret_file is None) == ("secret" not in fields):
        message = f"{where}: give either secret or secret_file"
        raise SettingsError(message)
    if secret_file is not None:
        fields["secret"] = read_secret(path.parent / str(secret_file), where)
    if isinstance(secret := fields["secret"], str):
        protect([secret])
    for name in TLS_FILES:
        if isinstance(file := fields.get(name), str):
            fields[name] = path.parent / file
    try:
        return Partner.model_validate(fields, context={"tls_files": _tls_files(fields)})
    except ValidationError as error:
        raise SettingsError("\n".join(f"{where}: {line}" for line in error_lines(error))) from None


def _tls_files(fields: dict[str, object]) -> str:
    """Return a digest of the TLS files: it changes with the contents of each."""
    return " ".join(_digest(fields.get(name)) for name in TLS_FILES)


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

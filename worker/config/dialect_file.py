"""The dialect's files: the packaged vocabulary, and the operator's own."""

import tomllib
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from worker.config.toml_faults import TomlFaults, decode, model_faults, parse
from worker.domain.dialect import Dialect
from worker.errors import SettingsError


def built_in() -> Dialect:
    """Return the packaged vocabulary."""
    packaged = files("worker.config").joinpath("dialect.toml")
    return Dialect.model_validate(tomllib.loads(packaged.read_text(encoding="utf-8")))


def load_dialect(path: Path | None, *, named: str = "KPLUS_DIALECT_FILE") -> Dialect:
    """
    Return the packaged vocabulary, extended by a TOML file if one is given.

    Raises `SettingsError`, which names `named` and the file, and for each fault the key and
    the allowed verdicts.
    """
    if path is None:
        return built_in()
    try:
        own = _read(path.read_bytes())
    except TomlFaults as found:
        lines = (f"{named}: {path}{fault}" for fault in found.faults)
        raise SettingsError("\n".join(lines)) from None
    except (OSError, ValueError) as error:  # ValueError: not a valid path
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{named}: {path} cannot be read: {reason}") from error
    return built_in().extended(own)


def _read(content: bytes) -> Dialect:
    document = parse(decode(content))
    try:
        return Dialect.model_validate(document)
    except ValidationError as error:
        raise model_faults(error, known=Dialect.model_fields) from None

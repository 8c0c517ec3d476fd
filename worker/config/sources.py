"""The sources of settings: the environment, `.env`, and the files that `KPLUS_…_FILE` names."""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from pydantic_settings.sources import DotEnvSettingsSource

from worker.config.partners_file import read_secret
from worker.domain.validation import error_lines
from worker.errors import SettingsError

PREFIX = "KPLUS_"
TEST_PREFIX = "KPLUS_TEST_"
SECRETS = (
    "database_url",
    "broker_url",
    "proxy_url",
    "webhook_url",
    "webhook_secret",
    "webhook_previous_secret",
    "webhook_proxy_url",
)
"""Settings that may hold a secret and are read once: `KPLUS_…_FILE` may replace them."""


def setting(default: object, meaning: str, **bounds: float) -> Any:
    """Return a field; its meaning appears in docs/reference/settings.md."""
    options: dict[str, Any] = dict(bounds, allow_inf_nan=False) if bounds else {}
    return Field(default=default, validate_default=True, description=meaning, **options)


class SecretFiles(PydanticBaseSettingsSource):
    """Reads `KPLUS_…_FILE` for each of `SECRETS`."""

    def __init__(self, settings_cls: type[BaseSettings], given: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self._given = given

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Return the text of a setting's secret file, or None if no file is named."""
        del field
        name = f"{PREFIX}{field_name.upper()}"
        path = self._given.get(f"{name}_FILE") if field_name in SECRETS else None
        if not path:
            return None, field_name, False
        if self._given.get(name):
            raise SettingsError(both_set(name))
        return read_secret(Path(path), f"{name}_FILE"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the settings that were read from files."""
        values = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in values.items() if value is not None}


def both_set(name: str) -> str:
    """Return the error for a secret that is given twice."""
    return f"{name} and {name}_FILE are both set: keep one"


def given_names(dotenv: PydanticBaseSettingsSource) -> dict[str, str]:
    """Return every `KPLUS_` name of the environment and of `.env`, upper-cased."""
    names: dict[str, str] = {}
    if isinstance(dotenv, DotEnvSettingsSource):
        names = {name.upper(): value or "" for name, value in dotenv.env_vars.items()}
    names |= {name.upper(): value for name, value in os.environ.items()}
    return {name: value for name, value in names.items() if name.startswith(PREFIX)}


def refuse_unknown(given: Iterable[str], fields: Iterable[str]) -> None:
    """Raise `SettingsError` for names that are no settings, each with the closest one."""
    known = {f"{PREFIX}{field.upper()}" for field in fields}
    known |= {f"{PREFIX}{field.upper()}_FILE" for field in SECRETS}
    unknown = sorted(
        name for name in given if name not in known and not name.startswith(TEST_PREFIX)
    )
    if unknown:
        raise SettingsError("\n".join(_unknown(name, known) for name in unknown))


def _unknown(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name} is not a setting" + (f"; did you mean {close[0]}?" if close else "")


def named_errors(error: ValidationError) -> str:
    """Return the errors, one a line, each with the name of its setting."""
    lines = []
    for line in error_lines(error):
        field, _, text = line.partition(": ")
        known = text and field.isidentifier()
        lines.append(f"{PREFIX}{field.upper()}: {text}" if known else line)
    return "\n".join(lines)

"""The settings: whether they can be used, and where each one comes from."""

import os
from collections.abc import Iterator
from pathlib import Path

from worker.config.settings import Settings
from worker.config.sources import PREFIX, SECRETS
from worker.doctor.finding import Finding, Weight, wrong
from worker.errors import SettingsError
from worker.manual import SETTINGS


def refused(error: SettingsError) -> Iterator[Finding]:
    """Yield each complaint about the settings; no complaint shows a value."""
    for line in str(error).splitlines():
        yield wrong(
            "settings",
            line,
            f"change it in the environment or in .env; every setting is in {SETTINGS}",
            weight=Weight.UNUSABLE,
        )


def settled(settings: Settings) -> Finding:
    """Tell which settings are given and where; names only, a value may be a secret."""
    origins: dict[str, list[str]] = {}
    for field in sorted(settings.model_fields_set):
        origins.setdefault(_origin(field), []).append(f"{PREFIX}{field.upper()}")
    told = [f"from {origin}: {', '.join(names)}" for origin, names in origins.items()]
    rest = len(type(settings).model_fields) - len(settings.model_fields_set)
    return Finding("settings", "; ".join([*told, f"{rest} by default"]))


def _origin(field: str) -> str:
    """Return the place that won: secret files, then the environment, then `.env`."""
    given = {name.upper(): value for name, value in os.environ.items()}
    name = f"{PREFIX}{field.upper()}"
    if given.get(name):
        return "the environment"
    if field in SECRETS and given.get(f"{name}_FILE"):
        return f"the file {given[f'{name}_FILE']}"
    return f"{Path('.env').absolute()}"

"""The settings: whether they can be used, and where each comes from."""

import os
from collections.abc import Iterator
from pathlib import Path

from worker.config.settings import Settings
from worker.config.sources import PREFIX, SECRETS
from worker.doctor.finding import Finding, Severity, failed
from worker.errors import SettingsError
from worker.private import open_to_others
from worker.telemetry.about import SETTINGS


def refused(error: SettingsError) -> Iterator[Finding]:
    """Yield a finding for each setting that is wrong; none shows a value."""
    for line in str(error).splitlines():
        yield failed(
            "settings",
            line,
            f"change it in the environment or in .env; every setting is in {SETTINGS}",
            severity=Severity.UNUSABLE,
        )


def given(settings: Settings) -> Finding:
    """Return which settings are given and where, by name only: a value may be a secret."""
    origins: dict[str, list[str]] = {}
    for field in sorted(settings.model_fields_set):
        origins.setdefault(_origin(field), []).append(f"{PREFIX}{field.upper()}")
    sources = [f"from {origin}: {', '.join(names)}" for origin, names in origins.items()]
    rest = len(type(settings).model_fields) - len(settings.model_fields_set)
    return Finding("settings", "; ".join([*sources, f"{rest} by default"]))


def unused_proxy(settings: Settings) -> Iterator[Finding]:
    """Yield a line if the environment names a proxy that is not used; that may be right."""
    if unused := settings.unused_proxies(settings.roster().values()):
        yield Finding("proxy", unused)


def readable_home(settings: Settings) -> Iterator[Finding]:
    """Yield what other users of this machine may read of KPLUS_HOME: orders stand in it."""
    if found := open_to_others(settings.home):
        names = ", ".join(str(path) for path in found[:3]) + (", …" if len(found) > 3 else "")  # noqa: PLR2004
        remedy = f"run `chmod -R go= {settings.home}`"
        yield failed("home", f"others may read {names}", remedy)


def _origin(field: str) -> str:
    """Return where a setting comes from: the environment, its secret file, or `.env`."""
    environment = {name.upper(): value for name, value in os.environ.items()}
    name = f"{PREFIX}{field.upper()}"
    if environment.get(name):
        return "the environment"
    if field in SECRETS and environment.get(f"{name}_FILE"):
        return f"the file {environment[f'{name}_FILE']}"
    return f"{Path('.env').absolute()}"

"""The diagnosis: every check, one after the other."""

from collections.abc import Callable, Iterable, Iterator

from worker.config.settings import Settings, load_settings, read_settings
from worker.doctor.bank import bank
from worker.doctor.broker import broker
from worker.doctor.database import storage
from worker.doctor.finding import Finding, Severity, failed, one_line
from worker.doctor.partners import dialect, partners
from worker.doctor.settings import given, readable_home, refused, unused_proxy
from worker.doctor.workers import health, workers
from worker.doctor.writing import room
from worker.errors import SettingsError


def diagnose(*, worker: bool = False) -> Iterator[Finding]:
    """
    Yield each finding as soon as it is made; if the settings cannot be used, only that.

    With `worker`, only check that a worker of this home moves. That connects to nothing and reads
    no file of the partners: a file system that hangs may be what the worker waits for.
    """
    try:
        settings = read_settings() if worker else load_settings()
    except SettingsError as error:
        yield from refused(error)
        return
    if worker:
        yield from health(settings)
        return
    yield from _all(settings)


def _all(settings: Settings) -> Iterator[Finding]:
    checks: tuple[tuple[str, Callable[[Settings], Iterable[Finding]]], ...] = (
        ("settings", lambda settings: [given(settings)]),
        ("home", readable_home),
        ("partners", partners),
        ("proxy", unused_proxy),
        ("dialect", lambda settings: [dialect(settings)]),
        ("disk", room),
        ("database", storage),
        ("workers", workers),
        ("broker", broker),
        ("bank", bank),
    )
    for name, check in checks:
        yield from _guarded(name, check, settings)


def _guarded(
    name: str, check: Callable[[Settings], Iterable[Finding]], settings: Settings
) -> Iterator[Finding]:
    """Yield what a check finds. A peer that makes it fail is a finding, and no reason to stop."""
    try:
        yield from check(settings)
    except Exception as error:  # noqa: BLE001 - see above
        text = f"cannot be checked: {one_line(error)}"
        remedy = "see what answers at that address"
        yield failed(name, text, remedy, severity=Severity.UNREACHABLE)

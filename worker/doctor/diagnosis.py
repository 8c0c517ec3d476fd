"""The diagnosis: every check, one after the other."""

from collections.abc import Iterator

from worker.config.settings import Settings, load_settings, read_settings
from worker.doctor.bank import bank
from worker.doctor.broker import broker
from worker.doctor.database import storage
from worker.doctor.finding import Finding
from worker.doctor.partners import dialect, partners
from worker.doctor.settings import given, readable_home, refused
from worker.doctor.workers import health, workers
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
    yield given(settings)
    yield from readable_home(settings)
    yield from partners(settings)
    yield dialect(settings)
    yield from storage(settings)
    yield from workers(settings)
    yield broker(settings)
    yield from bank(settings)

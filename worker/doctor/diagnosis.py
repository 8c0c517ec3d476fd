"""The diagnosis: every check, one after the other."""

from collections.abc import Iterator

from worker.config.settings import Settings, load_settings, read_settings
from worker.doctor.bank import bank
from worker.doctor.broker import broker
from worker.doctor.database import storage
from worker.doctor.finding import Finding
from worker.doctor.partners import dialect, partners
from worker.doctor.settings import refused, settled
from worker.doctor.workers import a_worker_moves, workers
from worker.errors import SettingsError
from worker.telemetry.redaction import protect


def diagnose(*, worker: bool = False) -> Iterator[Finding]:
    """
    Yield what is found, as it is found; where the settings cannot be used, only that.

    With `worker` only whether a worker of this home moves: nothing is connected to, and no file
    of the partners is read: one that hangs may be what a worker stalls at.
    """
    try:
        settings = read_settings() if worker else load_settings()
    except SettingsError as error:
        yield from refused(error)
        return
    if worker:
        yield from a_worker_moves(settings)
        return
    protect([*settings.roster().secrets(), *settings.outcome_secrets()])
    yield from _all(settings)


def _all(settings: Settings) -> Iterator[Finding]:
    yield settled(settings)
    yield from partners(settings)
    yield dialect(settings)
    yield from storage(settings)
    yield from workers(settings)
    yield broker(settings)
    yield from bank(settings)

"""The workers of this home: whether they live, and whether they move."""

from collections.abc import Iterator

from worker.config.settings import Settings
from worker.doctor.finding import Finding, wrong
from worker.process.heartbeat import Beat, read_heartbeats

SILENT = 30.0
"""Seconds; a worker that moves says so every five."""


def workers(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each living worker of the home, or one for none."""
    living = read_heartbeats(settings.home)
    if not living:
        yield Finding("workers", f"none runs here (in {settings.home})")
    for beat in living:
        yield _judged(beat)


def a_worker_moves(settings: Settings) -> Iterator[Finding]:
    """Yield the same for a health check, for which no worker is none that moves."""
    living = read_heartbeats(settings.home)
    if not living:
        remedy = "start one (`kplus-cancel worker`), or set KPLUS_HOME to the home of the worker"
        yield wrong("workers", f"none runs here (in {settings.home})", remedy)
    for beat in living:
        yield _judged(beat)


def _judged(beat: Beat) -> Finding:
    check = f"worker {beat.pid}"
    if beat.stalled is not None:
        remedy = "none: it ends itself if that lasts; see that a supervisor starts it again"
        return wrong(check, f"does not move: {beat.stalled}", remedy)
    if beat.age > SILENT:
        remedy = "end it and start another: it is stopped, or its machine is overloaded"
        return wrong(check, f"has said nothing for {beat.age:.0f} s", remedy)
    return Finding(check, "moves")

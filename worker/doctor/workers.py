"""The workers of this home: whether they run, and whether they make progress."""

from collections.abc import Iterator

from worker.config.settings import Settings
from worker.doctor.finding import Finding, failed
from worker.process.heartbeat import Beat, read_heartbeats

SILENT_SECONDS = 30.0
"""A worker that moves writes a heartbeat every five seconds."""


def workers(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each running worker of the home, or one if there is none."""
    running = read_heartbeats(settings.home)
    if not running:
        yield Finding("workers", f"none runs here (in {settings.home})")
    for beat in running:
        yield _check(beat)


def health(settings: Settings) -> Iterator[Finding]:
    """Yield the same for a health check, which fails if no worker runs."""
    running = read_heartbeats(settings.home)
    if not running:
        remedy = "start one (`kplus-cancel worker`), or set KPLUS_HOME to the home of the worker"
        yield failed("workers", f"none runs here (in {settings.home})", remedy)
    for beat in running:
        yield _check(beat)


def _check(beat: Beat) -> Finding:
    check = f"worker {beat.pid}"
    if beat.stalled is not None and beat.fails:
        remedy = "run `kplus-cancel doctor`: it tries what the worker needs, and says what to mend"
        return failed(check, f"does not move: {beat.stalled}", remedy)
    if beat.stalled is not None:
        remedy = "none: it ends itself if that lasts; see that a supervisor starts it again"
        return failed(check, f"does not move: {beat.stalled}", remedy)
    if beat.age > SILENT_SECONDS:
        remedy = "end it and start another: it is stopped, or its machine is overloaded"
        return failed(check, f"has said nothing for {beat.age:.0f} s", remedy)
    return Finding(check, "moves")

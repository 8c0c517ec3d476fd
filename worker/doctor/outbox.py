"""The way back: where outcomes are sent, whether they arrive, and who wants them no more."""

from collections.abc import Iterator
from datetime import timedelta

from worker.config.settings import Settings
from worker.doctor.finding import Finding, wrong
from worker.domain.destinations import Destination
from worker.store import EndpointStatus, Store

LATE = timedelta(minutes=5)
"""An outcome that waits longer means that its receiver does not take it."""


def outcomes(settings: Settings, store: Store) -> Iterator[Finding]:
    """Yield a line for each way that is set here, or by which something waits."""
    known = {glance.endpoint.destination: glance for glance in store.endpoints.statuses()}
    for name in Destination:
        if name in settings.destinations:
            yield _told(name, _where(settings, name), known.get(name))
        elif name in known and known[name].waiting:
            remedy = "set it where the workers run, or here as there"
            yield wrong(_check(name), f"{known[name].waiting} wait; it is not set here", remedy)


def _where(settings: Settings, name: Destination) -> str:
    if name is Destination.WEBHOOK and settings.webhook is not None:
        return settings.webhook.origin
    message = settings.message
    return f"task {message.task}, queue {message.queue}" if message else ""


def _told(name: Destination, where: str, glance: EndpointStatus | None) -> Finding:
    check = _check(name)
    if glance is None:
        return Finding(check, f"{where}; nothing waits")
    endpoint, text = glance.endpoint, f"{where}; {glance.waiting} wait, {glance.dead} are dead"
    if endpoint.disabled:
        remedy = f"kplus-cancel outbox enable --destination {name} --reason WHY"
        return wrong(check, f"{text}; the receiver wants no more ({endpoint.reason})", remedy)
    if glance.dead:
        return wrong(check, text, "kplus-cancel outbox list --state dead, then outbox resend")
    if glance.oldest is not None and glance.oldest > LATE:
        told = f"{text}; the oldest waits for {glance.oldest.total_seconds():.0f} s"
        why = f": {endpoint.reason}" if endpoint.reason else ""
        return wrong(check, f"{told}{why}", "see that the receiver takes them, and a worker runs")
    return Finding(check, text)


def _check(name: Destination) -> str:
    return f"outcomes by {name}"

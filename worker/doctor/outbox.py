"""Where outcomes are sent, whether they arrive, and whether the receiver still wants them."""

from collections.abc import Iterator
from datetime import timedelta

from worker.config.settings import Settings
from worker.doctor.finding import Finding, failed
from worker.domain.destinations import Destination
from worker.store import EndpointStatus, Store

LATE = timedelta(minutes=5)
"""An outcome that waits longer means that its receiver does not accept it."""


def outcomes(settings: Settings, store: Store) -> Iterator[Finding]:
    """Yield a finding for each destination that is set here, or for which an outcome waits."""
    known = {status.endpoint.destination: status for status in store.endpoints.statuses()}
    for name in Destination:
        if name in settings.destinations:
            yield _check(name, _target(settings, name), known.get(name))
        elif name in known and known[name].waiting:
            remedy = "set it where the workers run, or here as there"
            yield failed(_name(name), f"{known[name].waiting} wait; it is not set here", remedy)


def _target(settings: Settings, name: Destination) -> str:
    if name is Destination.WEBHOOK and settings.webhook is not None:
        proxy = settings.webhook.proxy_on_the_way
        return f"{settings.webhook.origin}{f' through {proxy.name}' if proxy else ''}"
    message = settings.message
    return f"task {message.task}, queue {message.queue}" if message else ""


def _check(name: Destination, target: str, status: EndpointStatus | None) -> Finding:
    check = _name(name)
    if status is None:
        return Finding(check, f"{target}; nothing waits")
    endpoint, text = status.endpoint, f"{target}; {status.waiting} wait, {status.dead} are dead"
    if endpoint.disabled:
        remedy = f"kplus-cancel outbox enable --destination {name} --reason WHY"
        return failed(check, f"{text}; the receiver wants no more ({endpoint.reason})", remedy)
    if status.dead:
        return failed(check, text, "kplus-cancel outbox list --state dead, then outbox resend")
    if status.oldest is not None and status.oldest > LATE:
        text = f"{text}; the oldest waits for {status.oldest.total_seconds():.0f} s"
        reason = f": {endpoint.reason}" if endpoint.reason else ""
        return failed(
            check, f"{text}{reason}", "see that the receiver takes them, and a worker runs"
        )
    return Finding(check, text)


def _name(name: Destination) -> str:
    return f"outcomes by {name}"

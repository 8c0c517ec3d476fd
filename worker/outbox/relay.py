"""One round of telling the order system what became of its jobs, by one destination."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from worker.domain.backoff import Backoff, Chance
from worker.domain.destinations import Destination
from worker.store import Delivery, Endpoint, Store
from worker.telemetry.log import get_logger

log = get_logger(__name__)

BATCH = 8
"""How many events one worker has on the way at once."""
MARGIN = timedelta(seconds=30)
"""What a lease holds beside the try itself: the marks, on a slow day."""
AGAIN = Backoff(base=timedelta(seconds=5), cap=timedelta(hours=1))
"""How long an event waits after a try that failed."""
REST = Backoff(base=timedelta(seconds=2), cap=timedelta(minutes=1))
"""How long a receiver rests that took nothing; a new event waits no longer for an ill one."""


@dataclass(frozen=True, slots=True)
class Reply:
    """
    What came of one try: delivered, where there is no `fault`.

    `advice` is how long the receiver wants to be left alone; `gone` that it wants no more.
    """

    fault: str = ""
    advice: timedelta | None = None
    gone: bool = False


Send = Callable[[Sequence[Delivery]], Iterable[tuple[Delivery, Reply]]]
"""Tries each parcel once, and yields what came of it as soon as that is known; never raises."""


@dataclass(frozen=True, slots=True)
class Relay:
    """
    What a round works with. `within` bounds one call of `send`.

    An event that was tried `max_attempts` times, or first tried `max_age` ago, is dead.
    """

    store: Store
    destination: Destination
    send: Send
    within: timedelta
    max_attempts: int
    max_age: timedelta
    chance: Chance


def deliver(context: Relay) -> bool:
    """
    Try the events whose time has come, a few at once; True where more may be due now.

    Safe in any number of copies. A receiver that took nothing rests; then one event goes
    first. Raises `StoreUnavailable`: what was sent and not marked by then is sent again.
    """
    outbox = context.store.outbox
    endpoint = context.store.endpoints.endpoint(context.destination)
    if endpoint.is_resting:
        return False
    most = 1 if endpoint.failures else BATCH
    parcels = outbox.claim(context.destination, most=most, lease=context.within + MARGIN)
    if not parcels:
        return False
    replies = [_mark(context, *answered) for answered in context.send(parcels)]
    return _heed(context, endpoint, replies) and len(parcels) == most


def _mark(context: Relay, parcel: Delivery, reply: Reply) -> Reply:
    """Write down what came of one event."""
    outbox = context.store.outbox
    if not reply.fault:
        outbox.delivered(parcel)
        return reply
    wait = AGAIN.wait(parcel.attempts, chance=context.chance, advice=reply.advice)
    dead = not reply.gone and _is_spent(parcel, context)
    outbox.failed(parcel, reply.fault, wait=None if dead else wait)
    log.warning(
        "outcome_dead" if dead else "outcome_not_delivered",
        event_id=parcel.event_id,
        partner_txn_uid=parcel.uid,
        destination=str(parcel.destination),
        attempts=parcel.attempts,
        fault=reply.fault,
    )
    return reply


def _is_spent(parcel: Delivery, context: Relay) -> bool:
    return parcel.attempts >= context.max_attempts or parcel.at - parcel.since >= context.max_age


def _heed(context: Relay, before: Endpoint, replies: Sequence[Reply]) -> bool:
    """Let the receiver feel a round; True where it takes events."""
    receivers, name = context.store.endpoints, context.destination
    gone = next((reply for reply in replies if reply.gone), None)
    if gone is not None:
        if receivers.disable(name, gone.fault):
            remedy = "kplus-cancel outbox enable --reason WHY"
            log.error("receiver_disabled", destination=str(name), fault=gone.fault, remedy=remedy)
        return False
    failed = [reply for reply in replies if reply.fault]
    advice = max((reply.advice for reply in failed if reply.advice), default=None)
    if not failed or (advice is None and len(failed) < len(replies)):
        if before.failures:
            receivers.record_success(name)
        return not failed
    run = before.failures + 1
    wait = REST.wait(run, chance=context.chance, advice=advice)
    receivers.back_off(name, failed[-1].fault, failures=run, wait=wait)
    return False

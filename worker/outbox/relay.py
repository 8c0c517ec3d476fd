"""One round of delivery: outcomes are sent to the order system at one destination."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from worker.domain.backoff import Backoff, RandomSource
from worker.domain.destinations import Destination
from worker.store import Delivery, Endpoint, Store
from worker.telemetry.log import get_logger

log = get_logger(__name__)

BATCH = 8
"""How many events one worker sends at once."""
MARGIN = timedelta(seconds=30)
"""What a lease allows beyond the try itself: the time to record its result."""
EVENT_BACKOFF = Backoff(base=timedelta(seconds=5), cap=timedelta(hours=1))
"""How long an event waits after a failed try."""
ENDPOINT_BACKOFF = Backoff(base=timedelta(seconds=2), cap=timedelta(minutes=1))
"""How long an endpoint rests after a round in which it took nothing."""


@dataclass(frozen=True, slots=True)
class Reply:
    """
    The result of one try. Without a `fault` the event is delivered.

    `advice` is the wait that the receiver asks for. `gone` means that it wants no more events.
    """

    fault: str = ""
    advice: timedelta | None = None
    gone: bool = False


Send = Callable[[Sequence[Delivery]], Iterable[tuple[Delivery, Reply]]]
"""Tries each delivery once, and yields each result as soon as it is known. Never raises."""


@dataclass(frozen=True, slots=True)
class Relay:
    """
    What a round needs. `within` bounds one call of `send`.

    An event is dead after `max_attempts` tries, or `max_age` after its first try.
    """

    store: Store
    destination: Destination
    send: Send
    within: timedelta
    max_attempts: int
    max_age: timedelta
    random: RandomSource


def deliver(context: Relay) -> bool:
    """
    Try the events that are due, a few at once. Return True if more may be due now.

    Any number of workers may do so at once. A receiver that took nothing rests; after that one
    event is tried alone. Raises `StoreUnavailable`: events that were sent and not recorded before
    are sent again.
    """
    outbox = context.store.outbox
    endpoint = context.store.endpoints.endpoint(context.destination)
    if endpoint.is_resting:
        return False
    most = 1 if endpoint.failures else BATCH
    deliveries = outbox.claim(context.destination, most=most, lease=context.within + MARGIN)
    if not deliveries:
        return False
    replies = [_record(context, *result) for result in context.send(deliveries)]
    return _update_endpoint(context, endpoint, replies) and len(deliveries) == most


def _record(context: Relay, delivery: Delivery, reply: Reply) -> Reply:
    """Record the result of one event."""
    outbox = context.store.outbox
    if not reply.fault:
        outbox.delivered(delivery)
        return reply
    wait = EVENT_BACKOFF.wait(delivery.attempts, jitter=context.random(), retry_after=reply.advice)
    dead = not reply.gone and _is_spent(delivery, context)
    outbox.failed(delivery, reply.fault, wait=None if dead else wait)
    log.warning(
        "outcome_dead" if dead else "outcome_not_delivered",
        event_id=delivery.event_id,
        partner_txn_uid=delivery.uid,
        destination=str(delivery.destination),
        attempts=delivery.attempts,
        fault=reply.fault,
    )
    return reply


def _is_spent(delivery: Delivery, context: Relay) -> bool:
    return (
        delivery.attempts >= context.max_attempts or delivery.at - delivery.since >= context.max_age
    )


def _update_endpoint(context: Relay, before: Endpoint, replies: Sequence[Reply]) -> bool:
    """Record what a round means for its endpoint. Return True if it takes events."""
    endpoints, name = context.store.endpoints, context.destination
    gone = next((reply for reply in replies if reply.gone), None)
    if gone is not None:
        if endpoints.disable(name, gone.fault):
            remedy = "kplus-cancel outbox enable --reason WHY"
            log.error("receiver_disabled", destination=str(name), fault=gone.fault, remedy=remedy)
        return False
    failed = [reply for reply in replies if reply.fault]
    advice = max((reply.advice for reply in failed if reply.advice), default=None)
    if not failed or (advice is None and len(failed) < len(replies)):
        if before.failures:
            endpoints.record_success(name)
        return not failed
    run = before.failures + 1
    wait = ENDPOINT_BACKOFF.wait(run, jitter=context.random(), retry_after=advice)
    endpoints.back_off(name, failed[-1].fault, failures=run, wait=wait)
    return False

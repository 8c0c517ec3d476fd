"""One round of delivery: outcomes are sent to the order system at one destination."""

import queue
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from worker.domain.backoff import Backoff, RandomSource
from worker.domain.destinations import Destination
from worker.outbox.slots import Slots
from worker.store import Delivery, Store
from worker.telemetry.log import get_logger

log = get_logger(__name__)

MARGIN = timedelta(seconds=30)
"""What a lease allows beyond the try itself: the time to record its result."""
POLL_SECONDS = 1.0
"""How often a round looks for events that have become due while others are on their way."""
EVENT_BACKOFF = Backoff(base=timedelta(seconds=5), cap=timedelta(hours=1))
"""How long an event waits after a failed try."""
ENDPOINT_BACKOFF = Backoff(base=timedelta(seconds=2), cap=timedelta(minutes=1))
"""How long an endpoint rests after it took nothing."""
NO_ANSWER = "no_answer_in_time"


@dataclass(frozen=True, slots=True)
class Reply:
    """
    The result of one try. Without a `fault` the event is delivered.

    `advice` is the wait that the receiver asks for. `gone` means that it wants no more events.
    """

    fault: str = ""
    advice: timedelta | None = None
    gone: bool = False


Report = Callable[[Delivery, Reply], None]
Start = Callable[[Sequence[Delivery], Report], None]
"""Begins to try each delivery once, and reports each result when it is known. Never raises."""


@dataclass(frozen=True, slots=True)
class Relay:
    """
    What a round needs. `within` bounds the try of one event.

    An event is dead after `max_attempts` tries, or `max_age` after its first try. While
    `stopping`, no try begins.
    """

    store: Store
    destination: Destination
    start: Start
    within: timedelta
    max_attempts: int
    max_age: timedelta
    random: RandomSource
    stopping: Callable[[], bool] = bool
    monotonic: Callable[[], float] = time.monotonic


def deliver(context: Relay) -> None:
    """
    Try the events that are due until none is due or on its way, or the receiver must rest.

    Any number of workers may do so at once. Each event has a slot of its own: as soon as it has
    ended the next one begins. A receiver that took nothing rests; after that one event is tried
    alone. Raises `StoreUnavailable`: events that were sent and not recorded before are sent again.
    """
    endpoint = context.store.endpoints.endpoint(context.destination)
    if not endpoint.is_resting:
        _Round(context, failures=endpoint.failures).run()


class _Round:
    """One round, from the first claim to the last result."""

    def __init__(self, context: Relay, *, failures: int) -> None:
        self._context = context
        self._failures = failures
        self._slots = Slots(probing=failures > 0)
        self._closed = False
        """Whether no other event may begin: the receiver rests."""
        self._last_fault = ""
        self._no_retries_until = 0.0
        self._results: queue.SimpleQueue[tuple[Delivery, Reply]] = queue.SimpleQueue()

    def run(self) -> None:
        while True:
            if not self._closed and not self._context.stopping():
                self._fill()
            if not self._slots:
                break
            self._collect()
        if not self._closed and self._slots.failures and not self._slots.delivered:
            self._back_off(self._last_fault)

    def _fill(self) -> None:
        """Let as many events begin as there are free slots."""
        slots = self._slots
        if slots.probing:
            # One that was never tried says more about the receiver than one that failed before.
            free = slots.free
            self._begin(self._claim(free, retries=False) or self._claim(free, retries=True))
            return
        # Events that failed before may do so again: they never take all slots.
        if self._context.monotonic() >= self._no_retries_until:
            self._begin(self._retries())
        self._begin(self._claim(slots.free, retries=False))

    def _retries(self) -> list[Delivery]:
        """Claim events that failed before; do not look again at once if there are none."""
        free = self._slots.free_for_retries
        found = self._claim(free, retries=True)
        if free and not found:
            self._no_retries_until = self._context.monotonic() + POLL_SECONDS
        return found

    def _claim(self, most: int, *, retries: bool) -> list[Delivery]:
        context = self._context
        if not most:
            return []
        return context.store.outbox.claim(
            context.destination,
            most=most,
            lease=context.within + MARGIN,
            retries=retries,
        )

    def _begin(self, deliveries: list[Delivery]) -> None:
        until = self._context.monotonic() + self._context.within.total_seconds()
        for delivery in deliveries:
            self._slots.begin(delivery, until=until)
        if deliveries:
            self._context.start(deliveries, lambda *result: self._results.put(result))

    def _collect(self) -> None:
        """Record what is known by now; wait for the next result, but not for long."""
        # One that has no slot any more was overdue, and that was recorded then.
        ended = [
            (delivery, reply)
            for delivery, reply in self._arrived()
            if self._slots.end(delivery, taken=not reply.fault)
        ]
        self._record_taken([delivery for delivery, reply in ended if not reply.fault])
        for delivery, reply in ended:
            if reply.fault:
                self._record_failed(delivery, reply)

    def _arrived(self) -> list[tuple[Delivery, Reply]]:
        """Wait for the next result; return all that are there, and one for each overdue event."""
        now, until = self._context.monotonic(), self._slots.next_until()
        wait = POLL_SECONDS if until is None else min(POLL_SECONDS, max(0.0, until - now))
        arrived: list[tuple[Delivery, Reply]] = []
        with suppress(queue.Empty):
            arrived.append(self._results.get(timeout=wait))
            while True:
                arrived.append(self._results.get_nowait())
        overdue = self._slots.overdue(self._context.monotonic())
        return arrived + [(delivery, Reply(NO_ANSWER)) for delivery in overdue]

    def _record_taken(self, deliveries: list[Delivery]) -> None:
        if not deliveries:
            return
        context = self._context
        context.store.outbox.delivered(*deliveries)
        if self._failures:
            context.store.endpoints.record_success(context.destination)
            self._failures = 0
            log.info("receiver_rest_over", destination=str(context.destination))

    def _record_failed(self, delivery: Delivery, reply: Reply) -> None:
        self._last_fault = reply.fault
        _record_failure(self._context, delivery, reply)
        if not self._closed:
            self._look_at_endpoint(reply)

    def _look_at_endpoint(self, reply: Reply) -> None:
        """Let the receiver rest if it says so, or if all that began since its last yes failed."""
        if reply.gone:
            self._disable(reply)
        elif reply.advice is not None or self._slots.refused:
            self._back_off(reply.fault, advice=reply.advice)

    def _disable(self, reply: Reply) -> None:
        self._closed = True
        name = self._context.destination
        if self._context.store.endpoints.disable(name, reply.fault):
            remedy = "kplus-cancel outbox enable --reason WHY"
            log.error("receiver_disabled", destination=str(name), fault=reply.fault, remedy=remedy)

    def _back_off(self, fault: str, *, advice: timedelta | None = None) -> None:
        self._closed = True
        run = self._failures + 1
        wait = ENDPOINT_BACKOFF.wait(run, jitter=self._context.random(), retry_after=advice)
        name = str(self._context.destination)
        seconds = round(wait.total_seconds(), 1)
        log.warning("receiver_rests", destination=name, fault=fault, failures=run, seconds=seconds)
        endpoints = self._context.store.endpoints
        endpoints.back_off(self._context.destination, fault, failures=run, wait=wait)


def _record_failure(context: Relay, delivery: Delivery, reply: Reply) -> None:
    """Record that an event was not taken: it is due again later, or dead."""
    wait = EVENT_BACKOFF.wait(delivery.attempts, jitter=context.random(), retry_after=reply.advice)
    dead = not reply.gone and _is_spent(delivery, context)
    context.store.outbox.failed(delivery, reply.fault, wait=None if dead else wait)
    log.warning(
        "outcome_dead" if dead else "outcome_not_delivered",
        event_id=delivery.event_id,
        partner_txn_uid=delivery.uid,
        destination=str(delivery.destination),
        attempts=delivery.attempts,
        fault=reply.fault,
    )


def _is_spent(delivery: Delivery, context: Relay) -> bool:
    return (
        delivery.attempts >= context.max_attempts or delivery.at - delivery.since >= context.max_age
    )

"""The webhook: posts signed events, and says which of them were delivered."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus

import httpx

from worker.config.destinations import Webhook
from worker.domain import signatures
from worker.domain.retry_after import believed, read_retry_after
from worker.forksafe import once
from worker.net.deadline import Deadline
from worker.net.faults import fault_of
from worker.net.tls import context_for_bundle, context_without_authorities
from worker.net.transport import bounded_transport, exchange, utc_now
from worker.outbox.crew import Crew
from worker.outbox.relay import NO_ANSWER, Reply, Report
from worker.outbox.slots import MOST_AT_ONCE
from worker.store import Delivery
from worker.telemetry.about import USER_AGENT

MOST_BYTES = 64 * 1024
"""How much of an answer is read, so that its connection can be reused. Nothing is stored."""
LONGEST_ADVICE = timedelta(days=1)
"""A receiver that asks for more time is taken to have made a slip."""
GRACE_SECONDS = 2.0
"""What a thread gets beyond the deadline, which does not bound the lookup of a name."""


class WebhookSender:
    """Posts events to one receiver, each from its own thread. One sender a process."""

    def __init__(self, webhook: Webhook, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._webhook = webhook
        self._keys = webhook.keys
        self._clock = clock
        # A thread that hangs in the lookup of a name keeps its slot, so that there are never more.
        self._slots = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._crew = Crew("kplus-webhook-post")

    @property
    def within(self) -> timedelta:
        """The longest time that one event may take."""
        return self._webhook.deadline + timedelta(seconds=GRACE_SECONDS)

    def start(self, deliveries: Sequence[Delivery], report: Report) -> None:
        """Post each event once, all at once, and report each result from its thread."""
        for delivery in deliveries:
            self._start(delivery, report)

    def close(self) -> None:
        """Close the connections. A post under way ends with a fault."""
        if "_transport" in self.__dict__:
            self._transport.close()

    def _start(self, delivery: Delivery, report: Report) -> None:
        if not self._slots.acquire(blocking=False):
            report(delivery, Reply(NO_ANSWER))
            return

        def post() -> None:
            try:
                reply = self._post(delivery)
            finally:
                self._slots.release()
            report(delivery, reply)

        self._crew.do(post)

    def _post(self, delivery: Delivery) -> Reply:
        try:
            with Deadline(self._webhook.deadline.total_seconds()):
                return self._exchange(self._message(delivery))
        except Exception as error:  # noqa: BLE001 - whatever it is, the event is tried again
            return Reply(fault_of(error))

    def _message(self, delivery: Delivery) -> httpx.Request:
        body = delivery.body.encode()
        signed = signatures.headers(
            self._keys, event_id=delivery.event_id, at=self._clock(), body=body
        )
        own = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": USER_AGENT,
        }
        return httpx.Request("POST", self._url, headers=own | signed, content=body)

    def _exchange(self, message: httpx.Request) -> Reply:
        """Send a request and read its answer. At this level there are no redirects."""
        # Only the status counts: a body that breaks off changes nothing.
        with exchange(self._transport, message) as response, suppress(httpx.TransportError):
            _drain(response)
        if response.is_success:
            return Reply()
        advice = read_retry_after(response.headers.get("retry-after"), at=self._clock())
        return Reply(
            f"http_{response.status_code}",
            advice=believed(advice, LONGEST_ADVICE),
            gone=response.status_code == HTTPStatus.GONE,
        )

    @once
    def _url(self) -> httpx.URL:
        return httpx.URL(self._webhook.url)

    @once
    def _transport(self) -> httpx.BaseTransport:
        webhook = self._webhook
        if not webhook.url.startswith("https:"):
            context = context_without_authorities()
        else:
            context = context_for_bundle(webhook.ca_bundle)
        return bounded_transport(context, connections=MOST_AT_ONCE, proxy=webhook.proxy)


def _drain(response: httpx.Response) -> None:
    """Read an answer to its end, up to a bound, and drop it."""
    read = 0
    for chunk in response.iter_raw():
        read += len(chunk)
        if read > MOST_BYTES:
            return

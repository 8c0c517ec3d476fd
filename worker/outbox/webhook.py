"""The webhook: events posted and signed; what counts as delivered, and what comes of the rest."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus

import httpx

from worker.config.destinations import Webhook
from worker.domain import signatures
from worker.domain.retry_after import read_retry_after
from worker.forksafe import once
from worker.net.deadline import Deadline
from worker.net.faults import fault_of
from worker.net.tls import context_for_bundle, context_without_authorities
from worker.net.transport import USER_AGENT, bounded_transport, exchange, utc_now
from worker.outbox.relay import BATCH, Reply
from worker.store import Delivery

MOST_BYTES = 64 * 1024
"""How much of an answer is read, so that its connection can be used again; none of it is kept."""
GRACE = 2.0
"""Seconds that a thread has beyond the deadline, which the lookup of a name does not heed."""
SILENT = "no_answer_in_time"


class WebhookSender:
    """Posts events to one receiver, each from a thread of its own; one for a process."""

    def __init__(self, webhook: Webhook, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._webhook = webhook
        self._keys = webhook.keys
        self._clock = clock
        # A thread that hangs in the lookup of a name keeps its place: there are never more.
        self._places = threading.BoundedSemaphore(BATCH)

    @property
    def within(self) -> timedelta:
        """How long `send` takes at the most."""
        return self._webhook.deadline + timedelta(seconds=GRACE)

    def send(self, parcels: Sequence[Delivery]) -> Iterator[tuple[Delivery, Reply]]:
        """Post each event once, all at once; yield what came of each, within `within`."""
        replies: queue.SimpleQueue[tuple[Delivery, Reply]] = queue.SimpleQueue()
        waiting = {parcel.event_id: parcel for parcel in parcels}
        ends = time.monotonic() + self.within.total_seconds()
        for parcel in parcels:
            self._start(parcel, replies)
        while waiting:
            try:
                parcel, reply = replies.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                break
            del waiting[parcel.event_id]
            yield parcel, reply
        for parcel in waiting.values():
            yield parcel, Reply(SILENT)

    def close(self) -> None:
        """Close the connections that are kept; a post under way ends in a fault."""
        if "_transport" in self.__dict__:
            self._transport.close()

    def _start(
        self, parcel: Delivery, replies: "queue.SimpleQueue[tuple[Delivery, Reply]]"
    ) -> None:
        if not self._places.acquire(blocking=False):
            replies.put((parcel, Reply(SILENT)))
            return

        def post() -> None:
            try:
                reply = self._post(parcel)
            finally:
                self._places.release()
            replies.put((parcel, reply))

        # No pool: its threads would be waited for when the process ends.
        threading.Thread(target=post, name="kplus-webhook-post", daemon=True).start()

    def _post(self, parcel: Delivery) -> Reply:
        try:
            with Deadline(self._webhook.deadline.total_seconds()):
                return self._converse(self._message(parcel))
        except Exception as error:  # noqa: BLE001 - whatever it is, the event is tried again
            return Reply(fault_of(error))

    def _message(self, parcel: Delivery) -> httpx.Request:
        body = parcel.body.encode()
        signed = signatures.headers(
            self._keys, event_id=parcel.event_id, at=self._clock(), body=body
        )
        own = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": USER_AGENT,
        }
        return httpx.Request("POST", self._webhook.url, headers=own | signed, content=body)

    def _converse(self, message: httpx.Request) -> Reply:
        """Send a message and read its answer, at the level of the transport: no redirects."""
        # Only the status counts: a body that breaks off changes nothing.
        with exchange(self._transport, message) as response, suppress(httpx.TransportError):
            _drain(response)
        if response.is_success:
            return Reply()
        return Reply(
            f"http_{response.status_code}",
            advice=read_retry_after(response.headers.get("retry-after"), at=self._clock()),
            gone=response.status_code == HTTPStatus.GONE,
        )

    @once
    def _transport(self) -> httpx.BaseTransport:
        webhook = self._webhook
        if not webhook.url.startswith("https:"):
            context = context_without_authorities()
        else:
            context = context_for_bundle(webhook.ca_bundle)
        return bounded_transport(context, connections=BATCH)


def _drain(response: httpx.Response) -> None:
    """Read an answer to its end, up to a bound, and keep nothing of it."""
    read = 0
    for chunk in response.iter_raw():
        read += len(chunk)
        if read > MOST_BYTES:
            return

"""Events as Celery messages: a task of the order system's own, on a queue of its own."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from worker.config.destinations import Message
from worker.outbox.relay import Reply
from worker.store import Delivery

TRIES = 3
"""How many waits for the broker one event may need: to connect, to look, to send."""


class CeleryPublisher:
    """Sends events through the worker's own Celery application."""

    def __init__(self, app: Celery, message: Message) -> None:
        self._app = app
        self._message = message
        # The default exchange leads to the queue of that name; the queue is its owner's to make.
        self._queue = Queue(message.queue, Exchange(""), routing_key=message.queue)

    @property
    def within(self) -> timedelta:
        """How long `send` takes at the most: after one failure no other is tried."""
        return timedelta(seconds=TRIES * self._app.conf.broker_connection_timeout)

    def send(self, parcels: Sequence[Delivery]) -> Iterator[tuple[Delivery, Reply]]:
        """Send one message an event until the broker fails, which then speaks for the rest."""
        reply = Reply()
        for parcel in parcels:
            if not reply.fault:
                reply = self._send(parcel)
            yield parcel, reply

    def _send(self, parcel: Delivery) -> Reply:
        try:
            if not self._exists():
                return Reply("no_such_queue")
            self._app.send_task(
                self._message.task,
                kwargs={"event": json.loads(parcel.body)},
                task_id=parcel.event_id,
                queue=self._queue,  # type: ignore[arg-type]  # its stubs know names alone
                declare=[],
                retry=False,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the event is tried again
            return Reply(type(error).__name__)
        return Reply()

    def _exists(self) -> bool:
        """Say whether the queue is there: RabbitMQ drops, and confirms, what goes to none."""
        if self._app.conf.broker_transport is not None:
            return True  # Redis makes a queue of what is sent to it
        pool: Any = self._app.pool  # its stubs know less
        with pool.acquire(block=True) as connection:
            asking = connection.channel()
            try:
                asking.queue_declare(self._message.queue, passive=True)
            except connection.channel_errors:
                return False
            finally:
                asking.close()
        return True

"""Events as Celery messages: a task of the order system, on its own queue."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from worker.broker.transports import is_rabbitmq
from worker.config.destinations import Message
from worker.outbox.relay import Reply, Report
from worker.store import Delivery

BROKER_WAITS = 3
"""How often one event may wait for the broker: to connect, to check the queue, to send."""


class CeleryPublisher:
    """Sends events through the worker's Celery application."""

    def __init__(self, app: Celery, message: Message) -> None:
        self._app = app
        self._message = message
        # The default exchange routes to the queue of that name. Its owner declares the queue.
        self._queue = Queue(message.queue, Exchange(""), routing_key=message.queue)

    @property
    def within(self) -> timedelta:
        """The longest time that `start` takes: after one failure it tries no other event."""
        return timedelta(seconds=BROKER_WAITS * self._app.conf.broker_connection_timeout)

    def start(self, deliveries: Sequence[Delivery], report: Report) -> None:
        """Send one message an event. After a failure the others get the same result."""
        reply = Reply()
        for delivery in deliveries:
            if not reply.fault:
                reply = self._send(delivery)
            report(delivery, reply)

    def _send(self, delivery: Delivery) -> Reply:
        try:
            if not self._exists():
                return Reply("no_such_queue")
            self._app.send_task(
                self._message.task,
                kwargs={"event": json.loads(delivery.body)},
                task_id=delivery.event_id,
                queue=self._queue,  # type: ignore[arg-type]  # its stubs know names alone
                declare=[],
                retry=False,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the event is tried again
            return Reply(type(error).__name__)
        return Reply()

    def _exists(self) -> bool:
        """Say whether the queue exists: RabbitMQ confirms and drops a message to no queue."""
        if not is_rabbitmq(str(self._app.conf["broker_url"])):
            return True  # on Redis the first message makes the queue
        pool: Any = self._app.pool  # missing in celery-types
        with pool.acquire(block=True) as connection:
            channel = connection.channel()
            try:
                channel.queue_declare(self._message.queue, passive=True)
            except connection.channel_errors:
                return False
            finally:
                channel.close()
        return True

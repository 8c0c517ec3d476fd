"""The two queues: durable, and on RabbitMQ kept by several of its nodes (quorum queues)."""

from typing import Any, Final

from kombu import Exchange, Queue

from worker.telemetry.log import get_logger

QUORUM: Final = "quorum"
OTHER: Final = "other"
ARGUMENTS: Final = {"x-queue-type": QUORUM}
MISSING: Final = 404
OF_ANOTHER_KIND: Final = 406
"""RabbitMQ's code for a queue that exists and was declared otherwise."""

log = get_logger(__name__)


def queue(name: str, *, quorum: bool) -> Queue:
    """Return a queue of this name, on an exchange of its own as Celery itself would make it."""
    exchange = Exchange(name, type="direct", durable=True)
    if quorum:
        return QuorumQueue(
            name, exchange, routing_key=name, durable=True, queue_arguments=ARGUMENTS
        )
    return Queue(name, exchange, routing_key=name, durable=True)


class QuorumQueue(Queue):
    """A queue of RabbitMQ that is made a quorum queue, and used as it is where it exists."""

    def queue_declare(self, *args: Any, channel: Any = None, **kwargs: Any) -> Any:
        """
        Make the queue where there is none.

        A plain Celery client that comes first makes a classic queue. Measured with Celery
        5.7.0: the refusal then closes the channel, and the worker reconnects without end. So it
        is asked on a channel of its own, and a classic queue is served too, with a warning.
        """
        channel = channel or self.channel
        parent: Any = super()
        asking = channel.connection.channel()
        try:
            return parent.queue_declare(*args, channel=asking, **kwargs)
        except channel.connection.channel_errors as refusal:
            if getattr(refusal, "reply_code", None) != OF_ANOTHER_KIND:
                raise
            log.warning(
                "queue_not_quorum",
                queue=self.name,
                remedy="delete it once it is empty: the next worker makes it a quorum queue",
            )
            return self.name
        finally:
            asking.close()


def kind_of(name: str, connection: Any) -> str | None:
    """Return of what kind a queue of RabbitMQ is, None where there is none; nothing is made."""
    for question, unless in ({"passive": True}, MISSING), ({"durable": True}, OF_ANOTHER_KIND):
        asking = connection.channel()
        try:
            # The second declares what is there already, and so changes nothing.
            asking.queue_declare(name, auto_delete=False, arguments=ARGUMENTS, **question)
        except connection.channel_errors as refusal:
            if getattr(refusal, "reply_code", None) != unless:
                raise
            return None if unless == MISSING else OTHER
        finally:
            asking.close()
    return QUORUM

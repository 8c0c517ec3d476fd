"""The two queues: durable, and on RabbitMQ replicated (quorum queues)."""

from typing import Any, Final

from kombu import Exchange, Queue

from worker.telemetry.log import get_logger

QUORUM: Final = "quorum"
OTHER: Final = "other"
ARGUMENTS: Final = {"x-queue-type": QUORUM}
MISSING: Final = 404
OF_ANOTHER_KIND: Final = 406
"""RabbitMQ's code for a queue that exists with other arguments."""

log = get_logger(__name__)


def queue(name: str, *, quorum: bool) -> Queue:
    """Return a queue with its own exchange, as Celery itself would declare it."""
    exchange = Exchange(name, type="direct", durable=True)
    if quorum:
        return QuorumQueue(
            name, exchange, routing_key=name, durable=True, queue_arguments=ARGUMENTS
        )
    return Queue(name, exchange, routing_key=name, durable=True)


class QuorumQueue(Queue):
    """A RabbitMQ queue that is declared as a quorum queue, or used as it is if it exists."""

    def queue_declare(self, *args: Any, channel: Any = None, **kwargs: Any) -> Any:
        """
        Declare the queue if it does not exist.

        A plain Celery client that comes first declares a classic queue. Measured with Celery
        5.7.0: the refusal of ours then closes the channel, and the worker reconnects for ever. So
        it is declared on a separate channel, and a classic queue is served too, with a warning.
        """
        channel = channel or self.channel
        parent: Any = super()
        separate = channel.connection.channel()
        try:
            return parent.queue_declare(*args, channel=separate, **kwargs)
        except channel.connection.channel_errors as error:
            if getattr(error, "reply_code", None) != OF_ANOTHER_KIND:
                raise
            log.warning(
                "queue_not_quorum",
                queue=self.name,
                remedy="delete it once it is empty: the next worker makes it a quorum queue",
            )
            return self.name
        finally:
            separate.close()


def kind_of(name: str, connection: Any) -> str | None:
    """Return the kind of a RabbitMQ queue, or None if it does not exist. Declare nothing."""
    for options, refusal in ({"passive": True}, MISSING), ({"durable": True}, OF_ANOTHER_KIND):
        channel = connection.channel()
        try:
            # By the second declaration the queue exists, so that it changes nothing.
            channel.queue_declare(name, auto_delete=False, arguments=ARGUMENTS, **options)
        except connection.channel_errors as error:
            if getattr(error, "reply_code", None) != refusal:
                raise
            return None if refusal == MISSING else OTHER
        finally:
            channel.close()
    return QUORUM

"""What a worker does on RabbitMQ, tried with the worker's own user. Nothing is left behind."""

import uuid
from typing import Any, Final

from amqp import Message

from worker.broker.queues import kind_of

PROBE: Final = "kplus.probe"
"""How the names of what is made and gone again begin."""


def try_as_a_worker(
    connection: Any, names: tuple[str, ...], *, timeout: float
) -> dict[str, str | None]:
    """
    Return the kind of each queue, or None if it does not exist. Raises what RabbitMQ refuses.

    What exists is declared and bound as a worker does it, which changes nothing. Where a queue is
    still to be made, one for this connection alone is made in its place. No message is taken
    from a queue of ours: who may bind a queue to the exchange of its name may read it too.
    """
    kinds = {name: kind_of(name, connection) for name in names}
    channel = connection.channel()
    for name in (name for name, kind in kinds.items() if kind is not None):
        channel.exchange_declare(name, type="direct", durable=True, auto_delete=False)
        channel.queue_bind(name, exchange=name, routing_key=name)
    probe = f"{PROBE}.{uuid.uuid4()}"
    if None in kinds.values():
        _make(channel, probe)
    # RabbitMQ confirms a message to a queue that does not exist, and drops it.
    channel.basic_publish_confirm(Message("probe"), "", probe, timeout=timeout)
    if None in kinds.values():
        channel.basic_get(probe, no_ack=True)
        channel.queue_delete(probe)
    channel.close()
    return kinds


def missing_right(error: Exception) -> str:
    """Return the right that a refusal is about: RabbitMQ 3.10 does not say."""
    text = str(error)
    if "Queue.bind" in text:
        return "read" if "to exchange" in text else "write"
    return "write" if "Basic.publish" in text else "configure"


def _make(channel: Any, name: str) -> None:
    """Make an exchange and a queue that go with this connection, at the latest."""
    channel.queue_declare(name, exclusive=True, auto_delete=True, durable=False)
    channel.exchange_declare(name, type="direct", durable=False, auto_delete=True)
    channel.queue_bind(name, exchange=name, routing_key=name)

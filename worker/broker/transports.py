"""Which brokers this software runs on: the schemes of their URLs, and the transport of each."""

from typing import Final

TRANSPORTS: Final = {
    "redis": "worker.broker.redis:Transport",
    "rediss": "worker.broker.redis:Transport",
    "sentinel": "worker.broker.redis:SentinelTransport",
    "amqp": "worker.broker.amqp:Transport",
    "amqps": "worker.broker.amqp:SecureTransport",
}
"""Each is ours: kombu's own unpacks a compressed message of any size."""

RABBITMQ: Final = frozenset({"amqp", "amqps"})


def is_rabbitmq(url: str) -> bool:
    """Say whether a broker's URL is one of RabbitMQ."""
    return url.partition("://")[0] in RABBITMQ

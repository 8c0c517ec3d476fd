"""Which brokers this software runs on: the schemes of their URLs, and the transport of each."""

from typing import Final

TRANSPORTS: Final = {
    "redis": "worker.broker.redis:Transport",
    "rediss": "worker.broker.redis:Transport",
    "sentinel": "worker.broker.redis:SentinelTransport",
    "amqp": None,
    "amqps": None,
}
"""None: the transport that kombu itself has for the scheme."""

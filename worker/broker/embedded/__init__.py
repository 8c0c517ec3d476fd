"""The embedded broker: a private Valkey or Redis server that ends with the process that runs it."""

from worker.broker.embedded.broker import EmbeddedBroker, ensure, known_url

__all__ = ["EmbeddedBroker", "ensure", "known_url"]

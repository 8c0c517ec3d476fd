"""A connection that keeps its transport when it moves to the broker's next address."""

from typing import Any

from celery.app import amqp
from kombu import Connection


class SteadyConnection(Connection):
    """
    kombu's connection, which at a failover takes the transport from the scheme of the next URL.

    That would be kombu's own, which unpacks compressed messages.
    """

    def switch(self, conn_str: str) -> None:
        """Switch to another address, as in kombu."""
        transport = self.transport_cls
        parent: Any = super()  # untyped in its stubs
        parent.switch(conn_str)
        self.transport_cls = transport


class Messaging(amqp.AMQP):
    """Named in Celery's `amqp_cls`."""

    Connection = SteadyConnection
    BrokerConnection = SteadyConnection

"""
Redis transports for Celery that survive a restart of Redis and any item in a queue.

They are subclasses of kombu's, named in Celery's `broker_transport`. They use parts of kombu that
are not public: `MEASURED` is the release they were tested with, and tests/celery fails if those
parts change.
"""

from importlib.metadata import version
from typing import Any, Final

import redis
from kombu.transport import redis as kombu_redis
from kombu.transport.virtual import base as virtual
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.broker.redis.connections import with_fast_can_read
from worker.broker.redis.envelopes import envelope
from worker.broker.redis.unacknowledged import Unacknowledged
from worker.broker.sealed import UNREADABLE, SealedMessage
from worker.telemetry.log import get_logger

MEASURED: Final = "5.7."
FANOUT: Final = "fanout"

log = get_logger(__name__)
if not version("kombu").startswith(MEASURED):
    log.warning("kombu_not_measured", kombu=version("kombu"), measured=MEASURED)


class Client(redis.Redis):
    """Turns each queue item into an envelope before kombu sees it."""

    separator: str = kombu_redis.Channel.sep

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        """Return the reply. A popped item becomes an envelope."""
        parent: Any = super()  # untyped in its stubs
        reply = parent.parse_response(connection, command_name, **options)
        if command_name != "BRPOP" or not reply:
            return reply
        key, item = reply
        # A list per priority: "kplus.cancel", "kplus.cancel\x06\x163" ...
        queue = key.decode().rsplit(self.separator, 1)[0]
        return key, envelope(item, queue=queue)


class Message(virtual.Message, SealedMessage):
    """A message of Redis, of a queue or of the gossip between workers."""


class _ResilientChannel(kombu_redis.Channel):
    """What the channels to one Redis and to Sentinel have in common."""

    UNREADABLE = UNREADABLE
    Message = Message
    QoS = Unacknowledged

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._known_params: dict[bool, dict[str, Any]] = {}
        self._known_client: Any = None
        super().__init__(*args, **kwargs)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 -- kombu's signature
        """
        Return the connection's parameters, or the last known ones if it is closed.

        Measured with Celery 5.7.0: after a restart of the broker Celery closes a connection that
        it has already emptied. kombu then restores unacknowledged messages, asks for these
        parameters, and its AttributeError ends the worker (8 of 8 runs).
        """
        parent: Any = super()
        if getattr(self.connection, "client", None) is None:
            return dict(self._known_params[asynchronous])
        params: dict[str, Any] = parent._connparams(asynchronous)  # noqa: SLF001 -- an override
        # redis-py's own retries multiply every timeout (measured: 3 s became 15.6 s).
        params["retry"] = Retry(NoBackoff(), 0)
        if not asynchronous:
            params["connection_class"] = with_fast_can_read(params["connection_class"])
        self._known_params[asynchronous] = dict(params)
        return params

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 -- kombu's signature
        """
        Return the client of a pool. It holds no connection, and threads may share it.

        kombu makes a new one for each command, which is a sixth of a message's cost
        (docs/explanation/performance.md).
        """
        parent: Any = super()
        if asynchronous:
            return parent._create_client(asynchronous)  # noqa: SLF001 -- an override
        client = self._known_client
        if client is None or client.connection_pool is not self.pool:
            client = self._known_client = parent._create_client()  # noqa: SLF001 -- an override
        return client

    def _get_client(self) -> Any:
        parent: Any = super()
        parent._get_client()  # noqa: SLF001 -- an override; it checks the version of redis-py
        return Client

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """
        Bind a queue, as in kombu. The table of a channel that is listened to is not written.

        Nobody reads it, and a worker that was killed would leave its line in it for ever.
        """
        if self.typeof(exchange).type == FANOUT:
            mine: Any = self  # its stubs do not know it
            mine._fanout_queues[queue] = (exchange, routing_key.replace("#", "*"))  # noqa: SLF001 -- as in kombu
            return
        parent: Any = super()
        parent._queue_bind(exchange, routing_key, pattern, queue)  # noqa: SLF001 -- an override

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        """Deliver gossip between workers. Drop anything else: it carries no job."""
        parent: Any = super()
        try:
            return bool(parent._deliver_fanout_message(message, exchange))  # noqa: SLF001 -- an override
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 -- anyone who can write to Redis can publish
            log.warning("gossip_dropped", error=type(error).__name__)
            return False


class Channel(_ResilientChannel):
    """A channel to one Redis."""


class Transport(kombu_redis.Transport):
    """`redis://` and `rediss://`."""

    Channel = Channel


class SentinelChannel(_ResilientChannel, kombu_redis.SentinelChannel):
    """A channel to the master that the sentinels name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._known_pools: dict[bool, Any] = {}
        super().__init__(*args, **kwargs)

    def _sentinel_managed_pool(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 -- kombu's signature
        """
        Return the pool of connections to the master, or the last one if it is closed.

        As in `_connparams`: kombu asks a closed connection for the addresses of the sentinels, and
        the worker ends (1 of 13 failovers). A disconnected pool asks the sentinels again.
        """
        parent: Any = super()
        if getattr(self.connection, "client", None) is not None:
            self._known_pools[asynchronous] = parent._sentinel_managed_pool(asynchronous)  # noqa: SLF001 -- an override
        return self._known_pools[asynchronous]


class SentinelTransport(kombu_redis.SentinelTransport):
    """`sentinel://`."""

    Channel = SentinelChannel

"""
Redis transports for Celery that outlive a broker's restart and whatever is pushed into a queue.

Subclasses of kombu's, named in Celery's `broker_transport`. They lean on parts of kombu
that are not public: `MEASURED` is the release they were proven with, and
tests/celery fail when those parts change.
"""

from importlib.metadata import version
from typing import Any, Final

import redis
from kombu.transport import redis as kombu_redis
from kombu.transport.virtual import base as virtual
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.broker.redis.connections import quick
from worker.broker.redis.envelopes import UNREADABLE, envelope
from worker.telemetry.log import get_logger

MEASURED: Final = "5.7."

log = get_logger(__name__)
if not version("kombu").startswith(MEASURED):
    log.warning("kombu_not_measured", kombu=version("kombu"), measured=MEASURED)


class Client(redis.Redis):
    """Reads queue items so that only envelopes reach kombu."""

    separator: str = kombu_redis.Channel.sep

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        """Return the reply; a popped item is made an envelope."""
        parent: Any = super()  # its stubs know no types
        reply = parent.parse_response(connection, command_name, **options)
        if command_name != "BRPOP" or not reply:
            return reply
        key, item = reply
        # A list per priority: "kplus.cancel", "kplus.cancel\x06\x163" ...
        queue = key.decode().rsplit(self.separator, 1)[0]
        return key, envelope(item, queue=queue)


class Slots(kombu_redis.QoS):
    """How many messages a worker holds: no more than it has slots."""

    def ack(self, delivery_tag: str) -> None:
        """
        Acknowledge a message; whatever becomes of that, its slot is free.

        Measured with kombu 5.7.0: a slot stays with a message that could not be acknowledged.
        While Redis stands still no connection is lost that would begin anew, and a worker
        whose slots have all gone so takes nothing more, for ever (2 of 2 runs).
        """
        parent: Any = super()
        try:
            parent.ack(delivery_tag)
        except BaseException:
            # Redis keeps the message and delivers it again, to a job that has its end.
            virtual.QoS.ack(self, delivery_tag)
            raise


class _Hardened(kombu_redis.Channel):
    """What both channels share."""

    UNREADABLE = UNREADABLE
    QoS = Slots

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._known_params: dict[bool, dict[str, Any]] = {}
        self._known_client: Any = None
        super().__init__(*args, **kwargs)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 -- kombu's signature
        """
        Return the connection's parameters, the last known ones after it was closed.

        Measured with Celery 5.7.0: after a broker's restart Celery closes a connection that
        it has emptied before. kombu restores what is unacknowledged meanwhile, asks
        here, and its AttributeError ends the worker (8 of 8 runs).
        """
        parent: Any = super()
        if getattr(self.connection, "client", None) is None:
            return dict(self._known_params[asynchronous])
        params: dict[str, Any] = parent._connparams(asynchronous)  # noqa: SLF001 -- an override
        # redis-py's own repeats multiply every timeout (measured: 3 s became 15.6 s).
        params["retry"] = Retry(NoBackoff(), 0)
        if not asynchronous:
            params["connection_class"] = quick(params["connection_class"])
        self._known_params[asynchronous] = dict(params)
        return params

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 -- kombu's signature
        """
        Return the client of a pool, made once; it holds no connection, and threads may share it.

        kombu makes a new one for each command, which is a sixth of what a message costs
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
        parent._get_client()  # noqa: SLF001 -- an override; it checks redis-py's version
        return Client

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        """Deliver gossip between workers; what is none is dropped: it carries no job."""
        parent: Any = super()
        try:
            return bool(parent._deliver_fanout_message(message, exchange))  # noqa: SLF001 -- an override
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 -- anyone who can write to Redis can publish
            log.warning("gossip_dropped", error=type(error).__name__)
            return False


class Channel(_Hardened):
    """A channel to one Redis."""


class Transport(kombu_redis.Transport):
    """`redis://` and `rediss://`."""

    Channel = Channel


class SentinelChannel(_Hardened, kombu_redis.SentinelChannel):
    """A channel to the master that the sentinels name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._known_pools: dict[bool, Any] = {}
        super().__init__(*args, **kwargs)

    def _sentinel_managed_pool(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 -- kombu's signature
        """
        Return a pool of connections to the master, the last one after it was closed.

        As with `_connparams`: kombu asks a closed connection for the sentinels' addresses, and
        the worker ends (1 of 13 failovers). A pool that was disconnected asks the sentinels again.
        """
        parent: Any = super()
        if getattr(self.connection, "client", None) is not None:
            self._known_pools[asynchronous] = parent._sentinel_managed_pool(asynchronous)  # noqa: SLF001 -- an override
        return self._known_pools[asynchronous]


class SentinelTransport(kombu_redis.SentinelTransport):
    """`sentinel://`."""

    Channel = SentinelChannel

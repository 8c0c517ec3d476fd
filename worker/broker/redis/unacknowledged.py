"""The messages that a worker holds and has not acknowledged: which of them Redis remembers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from kombu.transport import redis as kombu_redis
from kombu.transport.virtual import base as virtual

from worker.broker.redis.envelopes import HINT
from worker.broker.redis.left_behind import LeftBehind


class Unacknowledged(kombu_redis.QoS):
    """
    Holds as many messages as there are slots. Redis remembers those that are no hints.

    A hint names a job whose row is stored. Where a worker dies with it, the sweep hints again,
    sooner than Redis would deliver it again; so it is not worth what remembering costs, which is
    a fifth of a job (docs/explanation/performance.md). What is given back goes back to its queue.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._hints: dict[object, Any] = {}
        self._left_behind = LeftBehind()
        super().__init__(*args, **kwargs)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Give back what workers hold for too long; also what an old one left where it did."""
        parent: Any = super()
        parent.restore_visible(*args, **kwargs)
        self._left_behind.restore(self.channel, older_than=self.visibility_timeout)

    def append(self, message: Any, delivery_tag: str) -> None:
        """Hold a message."""
        if message._raw.get(HINT) is True:  # noqa: SLF001 -- the envelope, which has no other name
            self._hints[delivery_tag] = message
            virtual.QoS.append(self, message, delivery_tag)
            return
        parent: Any = super()
        parent.append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; its slot is free even if that fails."""
        if self._hints.pop(delivery_tag, None) is not None:
            virtual.QoS.ack(self, delivery_tag)
            return
        parent: Any = super()
        with self._slot_freed(delivery_tag):
            parent.ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 -- kombu's signature
        """Give a message up, or back to its queue; its slot is free even if that fails."""
        if not requeue and self._hints.pop(delivery_tag, None) is not None:
            virtual.QoS.ack(self, delivery_tag)
            return
        parent: Any = super()
        with self._slot_freed(delivery_tag):
            parent.reject(delivery_tag, requeue=requeue)

    @contextmanager
    def _slot_freed(self, delivery_tag: str) -> Iterator[None]:
        """
        Free the slot of a message of which Redis could not be told.

        Measured with kombu 5.7.0: such a message keeps its slot. While Redis hangs no connection
        is lost, so nothing reconnects, and a worker that has lost all slots in this way never
        takes a message again (2 of 2 runs).
        """
        try:
            yield
        except BaseException:
            # Redis keeps the message and delivers it again. By then its job has ended.
            virtual.QoS.ack(self, delivery_tag)
            raise

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002 -- kombu's signature
        """Give a message back to its queue: a hint from here, any other as Redis remembers it."""
        hint = self._hints.pop(tag, None)
        if hint is None:
            parent: Any = super()
            parent.restore_by_tag(tag, client=client, leftmost=leftmost)
            return
        raw, info = hint._raw, hint.delivery_info  # noqa: SLF001 -- as in `append`
        channel = cast("Any", self.channel)
        with channel.conn_or_acquire(client) as redis:
            restore = channel._do_restore_message  # noqa: SLF001 -- as kombu itself does
            restore(raw, info["exchange"], info["routing_key"], redis, leftmost)

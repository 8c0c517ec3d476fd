"""A pool that keeps few connections, and opens more while those are stuck."""

from contextlib import suppress
from datetime import timedelta
from typing import cast

from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Empty


class Pool(QueuePool):
    """
    Opens another connection only if none of the kept ones comes free in a moment.

    A statement takes a millisecond, so a few connections serve many threads. But one that waits
    for a lock holds its connection meanwhile: then others get one of their own, up to
    `max_overflow`, and the pool closes it when the kept ones are back.
    """

    moment: timedelta = timedelta(0)
    """How long to wait for a kept one."""

    def recreate(self) -> "Pool":
        """Return an empty pool like this one."""
        made = cast("Pool", super().recreate())
        made.moment = self.moment
        return made

    def _do_get(self) -> ConnectionPoolEntry:
        if self.overflow() >= 0:  # all that are kept are open
            with suppress(Empty):
                return self._pool.get(block=True, timeout=self.moment.total_seconds())
        return super()._do_get()

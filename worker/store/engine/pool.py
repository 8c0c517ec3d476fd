"""A pool that keeps few connections, and opens more while those are stuck."""

from contextlib import suppress
from datetime import timedelta
from typing import cast

from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool
from sqlalchemy.util.queue import Empty

MOMENTS = 10
"""So many moments longer one waits for a kept connection where the server refuses another one."""


class Pool(QueuePool):
    """
    Opens another connection only if none of the kept ones comes free in a moment.

    While a statement takes milliseconds, a few connections serve many threads. One that waits for
    a lock, or for a slow disk, holds its connection meanwhile: then others get one of their own,
    up to `max_overflow`, and the pool closes it when the kept ones are back.
    """

    moment: timedelta = timedelta(0)
    """How long to wait for a kept one."""

    def recreate(self) -> "Pool":
        """Return an empty pool like this one."""
        made = cast("Pool", super().recreate())
        made.moment = self.moment
        return made

    def give_up(self, pooled: PoolProxiedConnection, error: BaseException) -> None:
        """
        Close a connection, and at their next use all that were opened before it failed.

        What ails one ails those that were opened with it: they are all at the same standby. As
        SQLAlchemy does for its own statements. One opened since is left alone.
        """
        self._invalidate(pooled, error)

    def _do_get(self) -> ConnectionPoolEntry:
        if self.overflow() < 0:
            return super()._do_get()  # fewer are open than are kept
        moment = self.moment.total_seconds()
        with suppress(Empty):
            return self._pool.get(block=True, timeout=moment)
        try:
            return super()._do_get()
        except Exception:
            # The server takes no more; one that is kept may come free.
            with suppress(Empty):
                return self._pool.get(block=True, timeout=MOMENTS * moment)
            raise

"""A PostgreSQL connection whose waits for the server are bounded."""

from datetime import timedelta
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout
from psycopg.pq import TransactionStatus

Result = TypeVar("Result")
POLL_SECONDS = 0.1
"""How often the clock and signals are checked; psycopg's own figure."""


class BoundedConnection(psycopg.Connection[Any]):
    """
    Closes if the server, or a pooler before it, takes a statement and does not answer in time.

    TCP keeps such a connection open, and a server that is stopped cannot apply its own
    `statement_timeout`. The statement of a closed connection may still be executed.
    """

    answer_timeout: timedelta | None = None
    """The longest wait for one answer; None while migrations run."""

    def rollback(self) -> None:
        """Roll back a transaction. Send nothing if there is none, as at each return to the pool."""
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            super().rollback()

    def wait(
        self, gen: PQGen[Result], interval: float = POLL_SECONDS, timeout: float | None = None
    ) -> Result:
        """Wait as psycopg does, up to the timeout; then raise its `OperationalError`."""
        if timeout is not None or self.answer_timeout is None:
            return super().wait(gen, interval, timeout)
        longest = self.answer_timeout.total_seconds()
        try:
            return super().wait(gen, interval, longest)
        except _WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server took a statement and did not answer within {longest:g} s"
            ) from None

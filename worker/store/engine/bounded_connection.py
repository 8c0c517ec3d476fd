"""A PostgreSQL connection that no silence can hold for ever."""

from datetime import timedelta
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout
from psycopg.pq import TransactionStatus

Found = TypeVar("Found")
LOOKS_EVERY = 0.1
"""Seconds between two looks at the clock and for signals; psycopg's own figure."""


class BoundedConnection(psycopg.Connection[Any]):
    """
    Gives up a server, or a pooler before it, that takes a statement and never answers.

    TCP believes in such a line, and a server that is stopped cannot keep its own
    `statement_timeout`. A connection given up is closed: what it was asked may still be done.
    """

    answer_within: timedelta | None = None
    """The longest wait for one answer; none while migrations run."""

    def rollback(self) -> None:
        """Take back what was begun; nothing is said where nothing was, as at each return."""
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            super().rollback()

    def wait(
        self, gen: PQGen[Found], interval: float = LOOKS_EVERY, timeout: float | None = None
    ) -> Found:
        """Wait as psycopg does, but never longer. Raises its `OperationalError`."""
        if timeout is not None or self.answer_within is None:
            return super().wait(gen, interval, timeout)
        longest = self.answer_within.total_seconds()
        try:
            return super().wait(gen, interval, longest)
        except _WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server took a statement and did not answer within {longest:g} s"
            ) from None

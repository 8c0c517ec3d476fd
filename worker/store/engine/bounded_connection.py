"""A PostgreSQL connection whose waits for the server are bounded, and how it begins."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout
from psycopg.pq import TransactionStatus

from worker.store.engine.one_trip import Names, keeps_names
from worker.store.engine.session_settings import (
    PLAIN_BEGIN,
    POOLED_BEGIN,
    for_the_session,
    for_the_transaction,
)

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
    opening: tuple[str, ...] = (PLAIN_BEGIN,)
    """The statements with which each transaction begins."""
    is_pooled: bool = False
    """Whether a pooler may lend the session to others between two transactions."""
    names: Names | None = None
    """The prepared statements of `one_trip`; None if it may prepare none."""

    def prepare_session(self, settings: Mapping[str, str]) -> None:
        """Set what our transactions need, in the session if it is ours alone."""
        pid = self.info.backend_pid
        if self.execute(for_the_session(settings, backend_pid=pid)).fetchall():
            return
        self.is_pooled = True
        self.opening = (POOLED_BEGIN, for_the_transaction(settings))
        # What is prepared stays in a session that is somebody else's by the next transaction.
        self.prepare_threshold = None
        # One that lends its sessions for a statement refuses the first transaction: better here.
        for each in (PLAIN_BEGIN, "ROLLBACK"):
            self.execute(each)
        # Unless it keeps them for each client.
        self.names = {} if keeps_names(self) else None

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

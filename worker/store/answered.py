"""A PostgreSQL connection that no silence can hold for ever."""

from datetime import timedelta
from typing import Any, TypeVar

import psycopg
from psycopg.errors import _WaitTimeout

Found = TypeVar("Found")


class Answered(psycopg.Connection[Any]):
    """
    Gives up a server, or a pooler before it, that takes a statement and never answers.

    TCP believes in such a line, and a server that is stopped cannot keep its own
    `statement_timeout`. A connection given up is closed: what it was asked may still be done.
    """

    answer_within: timedelta | None = None
    """The longest wait for one answer; none while migrations run."""

    def wait(self, gen: Any, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Wait as psycopg does, but never longer. Raises its `OperationalError`."""
        longest = None if self.answer_within is None else self.answer_within.total_seconds()
        if timeout is not None or longest is None:
            return super().wait(gen, *args, timeout=timeout, **kwargs)
        try:
            return super().wait(gen, *args, timeout=longest, **kwargs)
        except _WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server took a statement and did not answer within {longest:g} s"
            ) from None

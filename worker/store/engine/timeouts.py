"""The longest waits for a database."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Timeouts:
    """
    The longest waits; all but `lock` are PostgreSQL's only.

    - `lock`: for a lock, and for a connection where the pool may open no other one.
    - `kept`: for one of the connections that the pool keeps; then it opens another one.
    - `trusted`: a connection that was used within this time is not tested before its next
      use, unless data from the server is waiting on it.
    - `idle_in_transaction`: between two statements of our own transaction.
    - `statement`: how long the server may work on one statement.
    - `answer`: how long we wait for that. It is the longer of the two, so that the server can
      report what was slow.
    """

    lock: timedelta = timedelta(seconds=20)
    kept: timedelta = timedelta(seconds=0.1)
    trusted: timedelta = timedelta(seconds=1)
    idle_in_transaction: timedelta = timedelta(seconds=5)
    statement: timedelta = timedelta(seconds=60)
    answer: timedelta = timedelta(seconds=65)

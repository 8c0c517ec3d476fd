"""A turn: what one process at a time may do, held by a lock on a row of its own."""

from sqlalchemy import Connection, select

from worker.store.engine.database import Database, rows_of
from worker.store.engine.prepared import Prepared
from worker.store.schema.tables import locks

HINTS = "hints"
"""The turn of choosing which jobs are hinted at."""


class Turn:
    """
    A row that is locked until the transaction ends; nobody waits for it.

    Not an advisory lock: every role that may connect can take one, and hold it for ever. To lock
    a row takes a right on its table.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._find = select(locks.c.name).where(locks.c.name == name)
        self._lock = self._find.with_for_update(skip_locked=True)
        make = database.insert(locks).values(name=name).on_conflict_do_nothing()
        self._make = Prepared(database, make.returning(locks.c.name))

    def take(self, connection: Connection) -> bool:
        """
        Take the turn until the transaction ends; False if another process has it.

        SQLite has one writer at a time, so there it is always True.
        """
        if self._database.is_sqlite or rows_of(connection, self._lock, {}):
            return True
        if rows_of(connection, self._find, {}):
            return False
        # The row comes with its first use: whatever empties the table stops no sweep. It is a
        # transaction of its own, because others would wait for a row that is not committed.
        self._make()
        return bool(rows_of(connection, self._lock, {}))

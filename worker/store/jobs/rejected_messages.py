"""Messages that could not become a job: stored redacted, and counted if they come again."""

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from worker.store.engine.database import AnyRow, Database, rows_of, storable
from worker.store.engine.elements import Now, one_more
from worker.store.schema.tables import rejected_messages

LONGEST_BODY = 16 * 1024
_KEPT = rejected_messages.c


@dataclass(frozen=True, slots=True)
class RejectedMessage:
    """A message that could not become a job: a stable `reason`, and `detail` for people."""

    reason: str
    detail: str
    body: str
    task: str | None = None
    uid: str | None = None

    def row(self) -> dict[str, str | None]:
        """Return the columns, bounded and storable."""
        return {
            "reason": storable(self.reason, 32),
            "detail": storable(self.detail, 2000),
            "task": storable(self.task, 200) if self.task else None,
            "partner_txn_uid": self._whole_uid(),
            "body": storable(self.body, LONGEST_BODY),
        }

    def _whole_uid(self) -> str | None:
        """Return the uid, or None if its column cannot hold it: cut, it would name another job."""
        uid = self.uid or ""
        return uid if uid and storable(uid, 64) == uid else None


class RejectedMessages:
    """The statements about rejected messages. Their bodies must be redacted already."""

    def __init__(self, database: Database) -> None:
        self._database = database
        new = database.insert(rejected_messages).values(first_at=Now(), last_at=Now())
        self._keep = new.on_conflict_do_update(
            index_elements=["digest"],
            set_={"deliveries": one_more(_KEPT.deliveries), "last_at": Now()},
        )
        self._add = new.on_conflict_do_nothing()
        self._latest = (
            select(rejected_messages).order_by(_KEPT.last_at.desc()).limit(bindparam("most"))
        )
        self._counts = select(_KEPT.reason, func.count()).group_by(_KEPT.reason)

    def keep(
        self,
        message: RejectedMessage,
        *,
        counted: bool = True,
        connection: Connection | None = None,
    ) -> None:
        """
        Store a message once, and count how often it is delivered.

        With `counted=False` a stored one stays as it is: that takes the right to insert alone,
        which is all that a producer has. With a `connection` the row joins the caller's
        transaction.
        """
        row = message.row()
        row["digest"] = hashlib.sha256(f"{row['reason']}\n{row['body']}".encode()).hexdigest()
        statement = self._keep if counted else self._add
        if connection is not None:
            rows_of(connection, statement, {**self._database.times, **row})
            return
        self._database.run(statement, **row)

    def latest(self, *, most: int) -> list[AnyRow]:
        """Return the messages seen last, newest first."""
        return self._database.read(self._latest, most=most)

    def counts(self) -> dict[str, int]:
        """Return how many different messages are stored, by reason."""
        return {row[0]: row[1] for row in self._database.read(self._counts)}

"""Messages that could not become a job: redacted, counted if they come again, and bounded."""

import hashlib
from dataclasses import dataclass
from json import dumps
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    Executable,
    String,
    bindparam,
    case,
    cast,
    column,
    delete,
    func,
    literal,
    select,
    update,
)

from worker.store.engine.database import AnyRow, Database, rows_of, storable
from worker.store.engine.elements import Now, one_more
from worker.store.schema.tables import rejected_counts, rejected_messages

LONGEST_BODY = 16 * 1024
SHORT_BODY = 256
"""What is kept of a body once its kind holds all the bytes it may."""
CONFLICT = "conflict"
CONFLICTS_OF_A_JOB = 10
"""How many different conflicts are kept about one job: the first half, and the newest."""
_KEPT = rejected_messages.c
_COUNTS = rejected_counts.c


@dataclass(frozen=True, slots=True)
class RejectedLimits:
    """
    How many different messages of one kind are kept, and how many bytes of their bodies.

    A kind is a reason; messages that name a uid are a kind beside those that name none, and the
    conflicts about one job are a kind of their own.
    """

    messages: int = 1000
    bytes: int = 4_000_000


@dataclass(frozen=True, slots=True)
class RejectedMessage:
    """A message that could not become a job: a stable `reason`, and `detail` for people."""

    reason: str
    detail: str
    body: str
    task: str | None = None
    uid: str | None = None

    @property
    def kind(self) -> str:
        """The messages that it shares places with."""
        if self.uid and self.reason == CONFLICT:
            return f"{CONFLICT} {hashlib.sha256(storable(self.uid, 64).encode()).hexdigest()[:30]}"
        return storable(self.reason, 32) + ("+uid" if self.uid else "")

    def most(self, limits: RejectedLimits) -> int:
        """Return how many of its kind are kept."""
        is_about_a_job = self.uid and self.reason == CONFLICT
        return min(CONFLICTS_OF_A_JOB, limits.messages) if is_about_a_job else limits.messages

    def row(self) -> dict[str, Any]:
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

    def __init__(self, database: Database, limits: RejectedLimits | None = None) -> None:
        self._database = database
        self._limits = limits or RejectedLimits()
        again = {"deliveries": one_more(_KEPT.deliveries), "last_at": Now()}
        self._again = (
            update(rejected_messages)
            .where(_KEPT.digest == bindparam("this_digest"))
            .values(**again)
            .returning(_KEPT.digest)
        )
        new = database.insert(rejected_messages).values(first_at=Now(), last_at=Now())
        self._keep = new.on_conflict_do_update(index_elements=["digest"], set_=again)
        self._count = (
            database.insert(rejected_counts)
            .values(seen=1, not_kept=0, bytes=0)
            .on_conflict_do_update(index_elements=["kind"], set_={"seen": _COUNTS.seen + 1})
            .returning(_COUNTS.seen, _COUNTS.bytes)
        )
        self._clear_place = (
            delete(rejected_messages)
            .where(_KEPT.kind == bindparam("this_kind"), _KEPT.place == bindparam("this_place"))
            .returning(func.length(_KEPT.body))
        )
        left = _COUNTS.bytes + bindparam("more_bytes")
        self._update_count = (
            update(rejected_counts)
            .where(_COUNTS.kind == bindparam("this_kind"))
            .values(
                not_kept=_COUNTS.not_kept + bindparam("cleared"),
                # Pruned rows have left their bytes: a ring that begins anew counts anew.
                bytes=case((left > 0, left), else_=literal(0)),
            )
        )
        self._add = new.on_conflict_do_nothing()
        self._add_on = _add_in_transaction(database)
        self._latest = (
            select(rejected_messages).order_by(_KEPT.last_at.desc()).limit(bindparam("most"))
        )
        self._counts = select(_KEPT.reason, func.count()).group_by(_KEPT.reason)
        self._not_kept = (
            select(_COUNTS.reason, func.sum(_COUNTS.not_kept))
            .where(_COUNTS.not_kept > 0)
            .group_by(_COUNTS.reason)
        )

    def keep(
        self,
        message: RejectedMessage,
        *,
        counted: bool = True,
        connection: Connection | None = None,
    ) -> None:
        """
        Store a message once, and count how often it is delivered.

        Of each kind the first and the newest are kept, up to the limits; the rest are counted.
        With `counted=False` a stored one stays as it is, and no limit applies: that takes the
        right to insert alone, which is all that a producer has. With a `connection` the row joins
        the caller's transaction.
        """
        row = message.row()
        row["digest"] = hashlib.sha256(f"{row['reason']}\n{row['body']}".encode()).hexdigest()
        if connection is not None:
            self._keep_on(connection, row, counted=counted)
        elif not counted:
            self._database.run(self._add, **row)
        elif not self._database.run(self._again, this_digest=row["digest"]):
            with self._database.writing() as own:
                self._keep_in_place(own, message, row)

    def _keep_on(self, connection: Connection, row: dict[str, Any], *, counted: bool) -> None:
        times, names = self._database.times, self._database.names
        if counted or self._database.is_sqlite:
            statement = self._keep if counted else self._add
            rows_of(connection, statement, {**times, **row}, names)
        else:
            # It may be the caller's own: see `callers`.
            rows_of(connection, self._add_on, {**times, "row": dumps([row])}, names)

    def latest(self, *, most: int) -> list[AnyRow]:
        """Return the messages seen last, newest first."""
        return self._database.read(self._latest, most=most)

    def counts(self) -> dict[str, int]:
        """Return how many different messages are stored, by reason."""
        return {row[0]: row[1] for row in self._database.read(self._counts)}

    def not_kept(self) -> dict[str, int]:
        """Return how many different messages gave their place to newer ones, by reason."""
        return {row[0]: int(row[1]) for row in self._database.read(self._not_kept)}

    def _keep_in_place(
        self, connection: Connection, message: RejectedMessage, row: dict[str, Any]
    ) -> None:
        times, kind = self._database.times, message.kind
        # It locks the kind's row: workers that keep the same kind take different places.
        ((seen, held),) = rows_of(connection, self._count, {"kind": kind, "reason": row["reason"]})
        place = _place(seen, message.most(self._limits))
        where = {"this_kind": kind, "this_place": place}
        cleared = [length for (length,) in rows_of(connection, self._clear_place, where)]
        if held - sum(cleared) + len(row["body"]) > self._limits.bytes:
            row = {**row, "body": row["body"][:SHORT_BODY]}
        rows_of(connection, self._keep, {**times, **row, "kind": kind, "place": place})
        more = len(row["body"]) - sum(cleared)
        counted = {"this_kind": kind, "cleared": len(cleared), "more_bytes": more}
        rows_of(connection, self._update_count, counted)


def _add_in_transaction(database: Database) -> Executable:
    """Return the statement that adds a row whose texts are sent as ASCII, for PostgreSQL."""
    columns = (column(name, rejected_messages.c[name].type) for name in _GIVEN)
    listed = cast(bindparam("row", type_=String()), JSON())
    given = func.json_to_recordset(listed).table_valued(*columns).render_derived(with_types=True).c
    row = {**{name: given[name] for name in _GIVEN}, "first_at": Now(), "last_at": Now()}
    insert = database.insert(rejected_messages).from_select(list(row), select(*row.values()))
    return insert.on_conflict_do_nothing()


_GIVEN = ("digest", "reason", "detail", "task", "partner_txn_uid", "body")
"""The columns of a rejected message that its producer gives."""


def _place(seen: int, most: int) -> int:
    """Return the place of the message with this number: half keep theirs, half take turns."""
    firsts = most // 2
    return seen if seen <= firsts else firsts + 1 + (seen - firsts - 1) % (most - firsts)

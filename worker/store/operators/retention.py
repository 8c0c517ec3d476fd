"""What old age removes: final jobs, leaving tombstones; rejected messages; records of acts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, select

from worker.domain.events import OutboxState
from worker.domain.kplus import EPOCH
from worker.domain.partners import PartnerMode
from worker.domain.states import Outcome
from worker.store.engine.column_types import Utc
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.elements import After, Now
from worker.store.jobs.lookup import STATE_OF, digest
from worker.store.schema.tables import (
    JOBS,
    audits,
    cancel_jobs,
    operator_actions,
    outbox,
    partners,
    rejected_messages,
    tombstones,
)

LEFT = tombstones.c
ACTS = operator_actions.c
BATCH = 500
YOUNGEST = timedelta(days=1)
"""Nothing younger is pruned: no insert is under way for so long (docs/adr/0013)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How many jobs one batch removed, and where the next one begins; None after the last."""

    jobs: int
    following: datetime | None


class Retention:
    """
    The statements that remove. Each batch is one short transaction and waits for no lock.

    Any number of copies may run at once: each passes over rows that another holds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._count = select(func.count()).where(*_old())
        self._oldest = oldest()
        self._bury = (
            database.insert(tombstones)
            .values(
                partner_txn_uid=bindparam("uid"),
                partner_id=bindparam("partner_id"),
                digest=bindparam("digest"),
                outcome=bindparam("outcome"),
                finished_at=bindparam("finished_at", type_=Utc()),
                pruned_at=Now(),
            )
            # A uid keeps its first tombstone.
            .on_conflict_do_nothing()
        )
        these: Any = bindparam("uids", expanding=True)
        self._remove = delete(cancel_jobs).where(JOBS.partner_txn_uid.in_(these))
        # What was not delivered stays: its body needs no job.
        self._forget = delete(outbox).where(
            outbox.c.partner_txn_uid.in_(these), outbox.c.state == OutboxState.DELIVERED
        )
        self._tombstone = select(tombstones).where(LEFT.partner_txn_uid == bindparam("uid"))
        self._old_messages = rejected_messages.c.last_at < After("ago_seconds")
        self._old_acts = _old_acts()

    def count(self, outcome: Outcome, *, older_than: timedelta) -> int:
        """Return how many jobs ended so, and so long ago."""
        ((count,),) = self._database.read(self._count, **_params(outcome, older_than))
        return int(count)

    def jobs(
        self,
        outcome: Outcome,
        *,
        older_than: timedelta,
        since: datetime | None = None,
        most: int = BATCH,
    ) -> Batch:
        """
        Turn the oldest jobs of an outcome into tombstones; their evidence goes with them.

        One transaction: whoever looks finds the job or its tombstone. `since` is where the
        batch before ended: what is gone is not read again.
        """
        params = {**_params(outcome, older_than), "since": since or EPOCH, "most": most}
        with self._database.writing() as connection:
            times = self._database.times
            rows = rows_of(connection, self._oldest, {**times, **params})
            if rows:
                connection.execute(self._bury, [{**times, **_tombstone(row)} for row in rows])
                uids = {"uids": [row.partner_txn_uid for row in rows]}
                connection.execute(self._remove, uids)
                connection.execute(self._forget, uids)
        return Batch(len(rows), rows[-1].updated_at if len(rows) == most else None)

    def tombstone(self, uid: str) -> dict[str, Any] | None:
        """Return what is kept of a pruned job, with its state; None where nothing is."""
        rows = self._database.read(self._tombstone, uid=uid)
        if not rows:
            return None
        return {**rows[0]._asdict(), "state": str(STATE_OF[Outcome(rows[0].outcome)])}

    def count_messages(self, *, older_than: timedelta) -> int:
        """Return how many rejected messages were seen last so long ago."""
        return self._count_of(rejected_messages, self._old_messages, older_than)

    def messages(self, *, older_than: timedelta, most: int = BATCH) -> int:
        """Remove rejected messages that were seen last so long ago; return how many."""
        key = rejected_messages.c.digest
        return self._delete(key, self._old_messages, rejected_messages.c.last_at, older_than, most)

    def count_acts(self, *, older_than: timedelta) -> int:
        """Return how many records of acts are so old; those of partners paused now stay."""
        return self._count_of(operator_actions, self._old_acts, older_than)

    def acts(self, *, older_than: timedelta, most: int = BATCH) -> int:
        """Remove records of acts that are so old; return how many."""
        return self._delete(ACTS.id, self._old_acts, ACTS.id, older_than, most)

    def count_audits(self, *, older_than: timedelta) -> int:
        """Return how many audits were made so long ago."""
        return self._count_of(audits, audits.c.started_at < After("ago_seconds"), older_than)

    def audits(self, *, older_than: timedelta, most: int = BATCH) -> int:
        """Remove audits that were made so long ago; return how many."""
        at = audits.c.started_at
        return self._delete(audits.c.id, at < After("ago_seconds"), at, older_than, most)

    def count_told(self, *, older_than: timedelta) -> int:
        """Return how many events were delivered so long ago."""
        return self._count_of(outbox, outbox.c.delivered_at < After("ago_seconds"), older_than)

    def told(self, *, older_than: timedelta, most: int = BATCH) -> int:
        """Remove events that were delivered so long ago; return how many."""
        at = outbox.c.delivered_at
        return self._delete(outbox.c.event_id, at < After("ago_seconds"), at, older_than, most)

    def _count_of(self, table: Any, old: ColumnElement[bool], older_than: timedelta) -> int:
        statement = select(func.count()).select_from(table).where(old)
        ((count,),) = self._database.read(statement, ago_seconds=_seconds_ago(older_than))
        return int(count)

    def _delete(
        self,
        key: ColumnElement[Any],
        old: ColumnElement[bool],
        order: ColumnElement[Any],
        older_than: timedelta,
        most: int,
    ) -> int:
        batch = select(key).where(old).order_by(order).limit(bindparam("most"))
        held = batch.with_for_update(skip_locked=True, of=key.table).cte("batch")
        # Both: of an event that was told by one way, the other may still wait.
        statement = delete(key.table).where(key.in_(select(held)), old).returning(key)
        return len(self._database.run(statement, ago_seconds=_seconds_ago(older_than), most=most))


def oldest() -> Select[Any]:
    """
    Return the statement that finds a batch, by the index over state and time of change.

    A final job does not change any more: `updated_at` is when it ended.
    """
    return (
        select(
            JOBS.partner_txn_uid,
            JOBS.partner_id,
            JOBS.token_id,
            JOBS.reference1,
            JOBS.outcome,
            JOBS.finished_at,
            JOBS.updated_at,
        )
        .where(*_old(), JOBS.updated_at >= bindparam("since", type_=Utc()))
        .order_by(JOBS.updated_at)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )


def _old() -> tuple[ColumnElement[bool], ...]:
    return (
        JOBS.state == bindparam("state"),
        JOBS.outcome == bindparam("outcome"),
        JOBS.updated_at < After("ago_seconds"),
    )


def _old_acts() -> ColumnElement[bool]:
    """An act on a partner that is paused says who did it: it stays as long as the pause."""
    paused = select(partners.c.partner_id).where(partners.c.mode == PartnerMode.PAUSED)
    return (ACTS.at < After("ago_seconds")) & ACTS.target.not_in(paused)


def _params(outcome: Outcome, older_than: timedelta) -> dict[str, Any]:
    return {
        "state": str(STATE_OF[outcome]),
        "outcome": str(outcome),
        "ago_seconds": _seconds_ago(older_than),
    }


def _seconds_ago(older_than: timedelta) -> float:
    if older_than < YOUNGEST:
        message = f"nothing younger than {YOUNGEST} is pruned"
        raise ValueError(message)
    return -older_than.total_seconds()


def _tombstone(row: AnyRow) -> dict[str, Any]:
    return {
        "uid": row.partner_txn_uid,
        "partner_id": row.partner_id,
        "digest": digest(row.token_id, row.reference1),
        "outcome": row.outcome,
        "finished_at": row.finished_at,
    }

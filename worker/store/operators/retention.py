"""Retention: old jobs become tombstones; old messages, actions, audits and events are deleted."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Delete,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    func,
    select,
    update,
)

from worker.domain.bounds import EARLIEST
from worker.domain.events import OutboxState
from worker.domain.partners import PartnerMode
from worker.domain.states import Outcome
from worker.store.engine.column_types import Utc
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.elements import Now, NowPlus
from worker.store.jobs.lookup import STATE_OF, digest
from worker.store.jobs.rejected_messages import CONFLICT
from worker.store.schema.tables import (
    JOBS,
    audits,
    cancel_jobs,
    operator_actions,
    outbox,
    partners,
    rejected_counts,
    rejected_messages,
    tombstones,
)

TOMBSTONES = tombstones.c
ACTIONS = operator_actions.c
BATCH = 500
MIN_AGE = timedelta(days=1)
"""Nothing younger is pruned: no insert is under way for that long (docs/adr/0013)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How many jobs a batch removed, and where the next batch begins; None after the last."""

    jobs: int
    next_since: datetime | None


class Retention:
    """
    The statements that delete. Each batch is one short transaction and waits for no lock.

    Any number of copies may run at once: each skips rows that another has locked.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._count = select(func.count()).where(*_old())
        self._oldest = oldest()
        self._add_tombstone = (
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
        these: BindParameter[str] = bindparam("uids", expanding=True)
        self._delete_jobs = delete(cancel_jobs).where(JOBS.partner_txn_uid.in_(these))
        # An event that was not delivered stays: its body does not need the job.
        self._delete_delivered = delete(outbox).where(
            outbox.c.partner_txn_uid.in_(these), outbox.c.state == OutboxState.DELIVERED
        )
        self._tombstone = select(tombstones).where(TOMBSTONES.partner_txn_uid == bindparam("uid"))
        self._old_messages = rejected_messages.c.last_at < NowPlus("ago_seconds")
        self._old_actions = _old_actions()

    def count(self, outcome: Outcome, *, older_than: timedelta) -> int:
        """Return how many jobs ended with this outcome that long ago."""
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
        Replace the oldest jobs of an outcome by tombstones; their evidence is deleted too.

        In one transaction: a lookup finds the job or its tombstone. `since` is where the batch
        before ended, so that deleted rows are not read again.
        """
        params = {**_params(outcome, older_than), "since": since or EARLIEST, "most": most}
        with self._database.writing() as connection:
            times = self._database.times
            rows = rows_of(connection, self._oldest, {**times, **params})
            if rows:
                connection.execute(
                    self._add_tombstone, [{**times, **_tombstone(row)} for row in rows]
                )
                uids = {"uids": [row.partner_txn_uid for row in rows]}
                connection.execute(self._delete_jobs, uids)
                connection.execute(self._delete_delivered, uids)
        return Batch(len(rows), rows[-1].updated_at if len(rows) == most else None)

    def tombstone(self, uid: str) -> dict[str, Any] | None:
        """Return the tombstone of a pruned job, with its state; None if there is none."""
        rows = self._database.read(self._tombstone, uid=uid)
        if not rows:
            return None
        return {**rows[0]._asdict(), "state": str(STATE_OF[Outcome(rows[0].outcome)])}

    def count_messages(self, *, older_than: timedelta) -> int:
        """Return how many rejected messages came last that long ago."""
        return self._count_of(rejected_messages, self._old_messages, older_than)

    def messages(self, *, older_than: timedelta, most: int = BATCH) -> int:
        """Delete rejected messages that came last that long ago; return how many."""
        key = rejected_messages.c.digest
        done = self._delete(key, self._old_messages, rejected_messages.c.last_at, older_than, most)
        if done:
            self._database.run(_recount())
            self._database.run(_forget_conflicts())
        return done

    def count_actions(self, *, older_than: timedelta) -> int:
        """Return how many operators' actions are that old; those on partners paused now stay."""
        return self._count_of(operator_actions, self._old_actions, older_than)

    def actions(self, *, older_than: timedelta, most: int = BATCH) -> int:
        """Delete operators' actions that are that old; return how many."""
        return self._delete(ACTIONS.id, self._old_actions, ACTIONS.id, older_than, most)

    def count_audits(self, *, older_than: timedelta) -> int:
        """Return how many audits began that long ago."""
        return self._count_of(audits, audits.c.started_at < NowPlus("ago_seconds"), older_than)

    def audits(self, *, older_than: timedelta, most: int = BATCH) -> int:
        """Delete audits that began that long ago; return how many."""
        at = audits.c.started_at
        return self._delete(audits.c.id, at < NowPlus("ago_seconds"), at, older_than, most)

    def count_events(self, *, older_than: timedelta) -> int:
        """Return how many events were delivered that long ago."""
        return self._count_of(outbox, outbox.c.delivered_at < NowPlus("ago_seconds"), older_than)

    def events(self, *, older_than: timedelta, most: int = BATCH) -> int:
        """Delete events that were delivered that long ago; return how many."""
        at = outbox.c.delivered_at
        return self._delete(outbox.c.event_id, at < NowPlus("ago_seconds"), at, older_than, most)

    def _count_of(self, table: Table, old: ColumnElement[bool], older_than: timedelta) -> int:
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
        locked = batch.with_for_update(skip_locked=True, of=key.table).cte("batch")
        # Both conditions: an event may be delivered to one destination and wait for another.
        statement = delete(key.table).where(key.in_(select(locked)), old).returning(key)
        return len(self._database.run(statement, ago_seconds=_seconds_ago(older_than), most=most))


def oldest() -> Select[Any]:
    """
    Return the statement that finds a batch, by the index over state and time of change.

    A final job no longer changes, so `updated_at` is when it ended.
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
        JOBS.updated_at < NowPlus("ago_seconds"),
    )


def _recount() -> Update:
    """Return what counts the bytes of rejected messages anew: pruned ones take none."""
    message, count = rejected_messages.c, rejected_counts.c
    held = select(func.coalesce(func.sum(func.length(message.body)), 0)).where(
        message.kind == count.kind, message.place.is_not(None)
    )
    return update(rejected_counts).values(bytes=held.correlate(rejected_counts).scalar_subquery())


def _forget_conflicts() -> Delete:
    """Return what removes the counts of conflicts about jobs of which no conflict is stored."""
    message, count = rejected_messages.c, rejected_counts.c
    kept = select(message.digest).where(message.kind == count.kind, message.place.is_not(None))
    return delete(rejected_counts).where(
        count.reason == CONFLICT, ~kept.correlate(rejected_counts).exists()
    )


def _old_actions() -> ColumnElement[bool]:
    """Return which actions are old; the one that says who paused a partner stays until it ends."""
    paused = select(partners.c.partner_id).where(partners.c.mode == PartnerMode.PAUSED)
    return (ACTIONS.at < NowPlus("ago_seconds")) & ACTIONS.target.not_in(paused)


def _params(outcome: Outcome, older_than: timedelta) -> dict[str, object]:
    return {
        "state": str(STATE_OF[outcome]),
        "outcome": str(outcome),
        "ago_seconds": _seconds_ago(older_than),
    }


def _seconds_ago(older_than: timedelta) -> float:
    if older_than < MIN_AGE:
        message = f"nothing younger than {MIN_AGE} is pruned"
        raise ValueError(message)
    return -older_than.total_seconds()


def _tombstone(row: AnyRow) -> dict[str, object]:
    return {
        "uid": row.partner_txn_uid,
        "partner_id": row.partner_id,
        "digest": digest(row.token_id, row.reference1),
        "outcome": row.outcome,
        "finished_at": row.finished_at,
    }

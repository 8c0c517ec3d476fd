"""
What an operator may do with a final job: try it again, or replace it by a new job.

A job that has its end, `succeeded` or `paid`, is reopened only if an audit contradicts that end.
The cancel that ended it may have taken effect, so from then on the job counts as doubted.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    Executable,
    bindparam,
    case,
    literal,
    or_,
    select,
    update,
)

from worker.domain.kplus import CancelRequest
from worker.domain.limits import has_expired
from worker.domain.states import FINAL, Event, Outcome, State
from worker.domain.wire import unsendable
from worker.store.engine.column_types import Utc
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.engine.elements import Now
from worker.store.jobs import transitions
from worker.store.jobs.transitions import move
from worker.store.reports.drift import has_drifted
from worker.store.schema.tables import JOBS, cancel_jobs, tombstones

RECORDED = ("state", "outcome", "attempts", "expires_at", "continued_by")
"""What the record of an action holds of a job, before and after."""


class Verdict(StrEnum):
    """The result of an action on a job. Only `done` changes anything."""

    DONE = "done"
    DONE_BEFORE = "done_before"
    NOT_FOUND = "not_found"
    PRUNED = "pruned"
    NOT_FINAL = "not_final"
    FINAL = "final"
    IN_FLIGHT = "in_flight"
    NOTHING_TO_SEE = "nothing_to_see"
    SUCCEEDED = "succeeded"
    PAID = "paid"
    CONTINUED = "continued"
    EXPIRED = "expired"
    UID_TAKEN = "uid_taken"
    NOT_IN_DOUBT = "not_in_doubt"
    UNCLEAR = "unclear"
    UNSENDABLE = "unsendable"


@dataclass(frozen=True, slots=True)
class NewExpiry:
    """Another expiry than the stored one; None if the token has none."""

    at: datetime | None


@dataclass(frozen=True, slots=True)
class RequeueResult:
    """
    A verdict on one job, and the job's row after it; None if there is no row.

    `reopens` says that the job had its end, and that an audit contradicts it.
    """

    uid: str
    verdict: Verdict
    job: dict[str, Any] | None = None
    reopens: bool = False


@dataclass(frozen=True, slots=True)
class RequeueRequest:
    """A request to requeue or reissue a job; `inquirers` are the partners that can inquire."""

    uid: str
    inquirers: Collection[str]
    expiry: NewExpiry | None = None

    def params(self) -> dict[str, object]:
        """Return the request as the parameters of the statements."""
        return {
            "uid": self.uid,
            "has_new_expiry": self.expiry is not None,
            "expires_at": self.expiry.at if self.expiry else None,
        }


class Requeues:
    """The statements about final jobs, all in the transaction that records the action."""

    def __init__(self, database: Database) -> None:
        self._database = database
        this = JOBS.partner_txn_uid == bindparam("uid")
        expired = transitions.has_expired().label("has_expired")
        drifted = has_drifted().label("has_drifted")
        self._job = select(cancel_jobs, expired, drifted, Now().label("now")).where(this)
        self._tombstone = select(tombstones.c.outcome).where(
            tombstones.c.partner_txn_uid == bindparam("uid")
        )
        has_new_expiry = bindparam("has_new_expiry", type_=Boolean())
        self._expiry = case(
            (has_new_expiry, bindparam("expires_at", type_=Utc())), else_=JOBS.expires_at
        )
        mine = (this, JOBS.continued_by.is_(None))
        again = move(Event.REQUEUE).where(*mine, JOBS.outcome != Outcome.PAID)
        reopened = move(Event.REOPEN).where(*mine, has_drifted())
        self._again = {
            False: again.values(expires_at=self._expiry).returning(*cancel_jobs.c),
            True: reopened.values(expires_at=self._expiry).returning(*cancel_jobs.c),
        }
        self._link = (
            update(cancel_jobs)
            .where(this, JOBS.state.in_(sorted(FINAL)), JOBS.continued_by.is_(None))
            .values(continued_by=bindparam("new_uid"))
            .returning(*cancel_jobs.c)
        )
        self._continue = self._insert_successor()

    def judge(
        self,
        connection: Connection,
        request: RequeueRequest,
        *,
        lock: bool,
        new_uid: str | None = None,
    ) -> RequeueResult:
        """
        Judge whether a job may be tried again, under its own uid or a new one.

        `lock` keeps it locked until the end of the transaction.
        """
        # Not the key: this must not wait for a producer's open transaction with the same uid.
        statement = self._job.with_for_update(key_share=True) if lock else self._job
        rows = rows_of(connection, statement, {**self._database.times, "uid": request.uid})
        if not rows:
            pruned = rows_of(connection, self._tombstone, {"uid": request.uid})
            return RequeueResult(request.uid, Verdict.PRUNED if pruned else Verdict.NOT_FOUND)
        row, verdict = rows[0], _judge(rows[0], request)
        sent = CancelRequest(new_uid or request.uid, row.partner_id, row.token_id, row.reference1)
        if verdict is Verdict.DONE and unsendable(sent):
            verdict = Verdict.UNSENDABLE
        reopens = verdict is Verdict.DONE and _has_its_end(row)
        return RequeueResult(request.uid, verdict, _job(row), reopens=reopens)

    def requeue(
        self, connection: Connection, request: RequeueRequest, found: RequeueResult
    ) -> RequeueResult:
        """Let a job that `judge` locked, and `found` to be `done`, wait for its turn again."""
        params = {**self._database.times, **request.params()}
        (row,) = rows_of(connection, self._again[found.reopens], params)
        return replace(found, job=_job(row))

    def reissue(
        self,
        connection: Connection,
        request: RequeueRequest,
        found: RequeueResult,
        new_uid: str,
    ) -> RequeueResult:
        """
        Store a job under `new_uid` in the place of one that `judge` locked.

        `doubted` is copied, and set if the old job had its end: an earlier cancel may have
        taken effect.
        """
        params = {
            **self._database.times,
            **request.params(),
            "new_uid": new_uid,
            "reopens": found.reopens,
        }
        if not rows_of(connection, self._continue, params):
            return RequeueResult(request.uid, Verdict.UID_TAKEN)
        (row,) = rows_of(connection, self._link, {"uid": request.uid, "new_uid": new_uid})
        return replace(found, job=_job(row))

    def _insert_successor(self) -> Executable:
        copied = ("partner_id", "token_id", "reference1", "still_payable_at")
        reopens = bindparam("reopens", type_=Boolean())
        fresh = {
            "doubted": or_(JOBS.doubted, reopens),
            "partner_txn_uid": bindparam("new_uid"),
            "continues": JOBS.partner_txn_uid,
            "state": literal(str(State.PENDING)),
            "expires_at": self._expiry,
            **dict.fromkeys(("created_at", "updated_at", "next_attempt_at"), Now()),
        }
        old = select(*fresh.values(), *(JOBS[name] for name in copied)).where(
            JOBS.partner_txn_uid == bindparam("uid")
        )
        return (
            self._database.insert(cancel_jobs)
            .from_select([*fresh, *copied], old)
            .on_conflict_do_nothing()
            .returning(JOBS.partner_txn_uid)
        )


def _judge(row: AnyRow, request: RequeueRequest) -> Verdict:
    if row.state not in FINAL:
        return Verdict.NOT_FINAL
    if _has_its_end(row) and not row.has_drifted:
        return Verdict.SUCCEEDED if row.state == State.SUCCEEDED else Verdict.PAID
    if row.continued_by is not None:
        return Verdict.CONTINUED
    # The bank can be asked once more about an expired token, if the partner can inquire.
    if _expired(row, request.expiry) and row.partner_id not in request.inquirers:
        return Verdict.EXPIRED
    return Verdict.DONE


def _has_its_end(row: AnyRow) -> bool:
    """Say whether the bank said what became of the token: only drift makes that worth a try."""
    return bool(row.state == State.SUCCEEDED or row.outcome == Outcome.PAID)


def _expired(row: AnyRow, expiry: NewExpiry | None) -> bool:
    if expiry is None:
        return bool(row.has_expired)
    return has_expired(expiry.at, at=row.now)


def _job(row: AnyRow) -> dict[str, Any]:
    return {name: value for name, value in row._asdict().items() if name in cancel_jobs.c}

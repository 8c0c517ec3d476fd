"""A job in doubt, judged again by its stored answers."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, String, bindparam, func, select

from worker.domain.dialect import Dialect
from worker.domain.rejudgement import Rejudgement, conclusion_of
from worker.domain.states import OUTCOMES, Event, Outcome, State
from worker.store.engine.database import AnyRow, Database, rows_of
from worker.store.jobs.finish import Finisher
from worker.store.jobs.transitions import move
from worker.store.operators.requeue import RequeueResult, Verdict
from worker.store.reports.conversations import Conversations
from worker.store.schema.tables import JOBS, cancel_jobs

_EVENTS = {State.SUCCEEDED: Event.SUCCEED, State.REFUSED: Event.REFUSE}


@dataclass(frozen=True, slots=True)
class RejudgeResult:
    """The result for one job, and the answer that ends it; None if none does."""

    result: RequeueResult
    by: Rejudgement | None = None


class Rejudging:
    """The statements about jobs in doubt, all in the transaction that records the action."""

    def __init__(self, database: Database, finisher: Finisher) -> None:
        self._database = database
        self._finisher = finisher
        self._conversations = Conversations(database)
        this = JOBS.partner_txn_uid == bindparam("uid")
        # Locked until the transaction ends: a worker claims the job before, or not at all. Not the
        # key: this must not wait for a producer's open transaction with the same uid.
        self._lock = select(cancel_jobs).where(this).with_for_update(key_share=True)
        self._end = {
            event: move(event, only_from=frozenset({State.IN_DOUBT}))
            .where(this)
            .values(
                token_status=func.coalesce(
                    bindparam("token_status", type_=String()), JOBS.token_status
                ),
                status_code=bindparam("status_code"),
                error_code=bindparam("error_code"),
                error_desc=bindparam("error_desc"),
            )
            .returning(*cancel_jobs.c)
            for event in _EVENTS.values()
        }

    def judge(self, connection: Connection, uid: str, dialect: Dialect) -> RejudgeResult:
        """Judge a job in doubt by its stored answers, and lock it until the transaction ends."""
        rows = rows_of(connection, self._lock, {"uid": uid})
        if not rows:
            return RejudgeResult(RequeueResult(uid, Verdict.NOT_FOUND))
        job = _job(rows[0])
        if job["state"] != State.IN_DOUBT:
            return RejudgeResult(RequeueResult(uid, Verdict.NOT_IN_DOUBT, job))
        (stored,) = self._conversations.of(connection, rows)
        found = conclusion_of(stored.conversations, dialect)
        if found.outcome is None:
            return RejudgeResult(RequeueResult(uid, Verdict.UNCLEAR, job))
        return RejudgeResult(RequeueResult(uid, Verdict.DONE, job), found.by)

    def end(self, connection: Connection, uid: str, by: Rejudgement) -> RequeueResult:
        """End a job that `judge` locked, by the answer that says what became of its token."""
        outcome = Outcome(by.heard)
        (event,) = (event for state, event in _EVENTS.items() if outcome in OUTCOMES[state])
        params = {
            **self._database.times,
            "uid": uid,
            "new_outcome": outcome,
            "token_status": by.token_status,
            "status_code": by.conversation.status_code,
            "error_code": by.conversation.error_code,
            "error_desc": by.conversation.error_desc,
        }
        (row,) = self._finisher.run(connection, self._end[event], params)
        return RequeueResult(uid, Verdict.DONE, _job(row))


def _job(row: AnyRow) -> dict[str, Any]:
    return row._asdict()

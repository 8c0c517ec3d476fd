"""
What an operator may do with a job that nobody can serve: end it.

It ends with the last word of any undecided job: `unknown` if it was ever in doubt.
"""

from typing import Any

from sqlalchemy import Connection, bindparam, case, select

from worker.domain.states import FINAL, Event, State
from worker.store.engine.database import Database, rows_of
from worker.store.engine.elements import Now
from worker.store.jobs.finish import Finisher
from worker.store.jobs.transitions import last_word, move
from worker.store.operators.requeue import RequeueResult, Verdict
from worker.store.schema.tables import JOBS, cancel_jobs, tombstones


class Discards:
    """The statements that end what waits, in the transaction that records the action."""

    def __init__(self, database: Database, finisher: Finisher) -> None:
        self._database = database
        self._finisher = finisher
        this = JOBS.partner_txn_uid == bindparam("uid")
        self._job = select(cancel_jobs).where(this)
        self._tombstone = select(tombstones.c.outcome).where(
            tombstones.c.partner_txn_uid == bindparam("uid")
        )
        self._discard = (
            move(Event.DISCARD)
            .where(this)
            .values(
                outcome=last_word(),
                # Whoever gives a job up has seen that. What became of a token that was in doubt
                # is for somebody to find out.
                seen_at=case((JOBS.doubted, None), else_=Now()),
            )
            .returning(*cancel_jobs.c)
        )

    def judge(self, connection: Connection, uid: str, *, lock: bool) -> RequeueResult:
        """Judge whether a job may be discarded; `lock` keeps it locked until the end."""
        # Not the key: this must not wait for a producer's open transaction with the same uid.
        statement = self._job.with_for_update(key_share=True) if lock else self._job
        rows = rows_of(connection, statement, {"uid": uid})
        if not rows:
            pruned = rows_of(connection, self._tombstone, {"uid": uid})
            return RequeueResult(uid, Verdict.PRUNED if pruned else Verdict.NOT_FOUND)
        job: dict[str, Any] = rows[0]._asdict()
        verdict = Verdict.DONE
        if job["state"] in FINAL:
            verdict = Verdict.FINAL
        elif job["state"] == State.IN_FLIGHT:
            verdict = Verdict.IN_FLIGHT
        return RequeueResult(uid, verdict, job)

    def discard(self, connection: Connection, uid: str) -> RequeueResult:
        """End a job that `judge` locked, and found `done`."""
        params = {**self._database.times, "uid": uid}
        (row,) = self._finisher.run(connection, self._discard, params)
        return RequeueResult(uid, Verdict.DONE, row._asdict())

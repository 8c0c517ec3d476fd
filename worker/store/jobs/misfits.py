"""
Jobs that no statement moves as they are: a time that never comes, a row that cannot be settled.

The rules of the tables refuse such rows (`store.schema.rules`). They can be there all the same, in
a database that was restored without its CHECKs; one of them must not hold up the others.
"""

from sqlalchemy import (
    Connection,
    Executable,
    and_,
    bindparam,
    case,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import DataError, IntegrityError

from worker.domain.bounds import LATEST
from worker.domain.claims import Claim
from worker.domain.states import Event, Outcome, State
from worker.store.engine.column_types import Utc
from worker.store.engine.database import Database, rows_of, storable
from worker.store.engine.elements import Exists, InQuery, Now
from worker.store.engine.prepared import Prepared
from worker.store.jobs.attempts import LONGEST_DETAIL
from worker.store.jobs.finish import Finisher
from worker.store.jobs.transitions import EVENT_COLUMNS, move
from worker.store.schema.tables import JOBS, cancel_jobs, operator_actions

WHO = "sweep"
"""Who acts, in the record of a job that was ended here."""
_LAST = literal(LATEST, Utc())


def refuses_row(error: Exception) -> bool:
    """Say whether a row itself is why a statement failed: it will fail again, and others not."""
    return isinstance(error, IntegrityError | DataError | ValueError | OverflowError)


class Misfits:
    """The statements about jobs that hold what they must not."""

    def __init__(self, database: Database, finisher: Finisher) -> None:
        self._database = database
        self._finisher = finisher
        self._mend = Prepared(database, _mend())
        self._end = (
            move(Event.EXHAUST, only_from=frozenset({State.IN_FLIGHT}))
            .where(
                JOBS.partner_txn_uid == bindparam("uid"),
                JOBS.lease_id == bindparam("this_lease_id"),
            )
            .values(
                # What may be why the row cannot be written is left out, or made fit.
                expires_at=case((Exists(JOBS.expires_at), JOBS.expires_at), else_=None),
                doubted=True,
            )
            .returning(*EVENT_COLUMNS)
        )
        self._record = insert(operator_actions).values(at=Now())

    def mend(self) -> list[str]:
        """
        Let jobs be due whose next attempt or lease end is at a time that never comes.

        Return their uids. Two looks into indexes that hold no such time, as a rule.
        """
        return [row.partner_txn_uid for row in self._mend()]

    def end(self, claim: Claim, reason: str) -> bool:
        """
        End a claimed job that cannot be settled, as unknown, with the reason in the record.

        It has no attempt row: that may be what cannot be written. Return False if its lease is
        gone.
        """
        with self._database.writing() as connection:
            params = {
                **self._database.times,
                "uid": claim.request.partner_txn_uid,
                "this_lease_id": claim.lease_id,
                "new_outcome": str(Outcome.UNKNOWN),
            }
            ended = self._finisher.run(connection, self._end, params)
            if ended:
                self._keep_reason(connection, claim, reason)
            return bool(ended)

    def _keep_reason(self, connection: Connection, claim: Claim, reason: str) -> None:
        row = {
            **self._database.times,
            "who": WHO,
            "action": "end",
            "target": storable(claim.request.partner_txn_uid, 128),
            "reason": storable(reason, LONGEST_DETAIL),
            "before": {"state": str(State.IN_FLIGHT), "outcome": None},
            "after": {"state": str(State.EXHAUSTED), "outcome": str(Outcome.UNKNOWN)},
        }
        rows_of(connection, self._record, row)


def _mend() -> Executable:
    never = or_(JOBS.next_attempt_at >= _LAST, JOBS.lease_ends_at >= _LAST)
    found = [
        select(JOBS.partner_txn_uid).where(JOBS.next_attempt_at >= _LAST),
        select(JOBS.partner_txn_uid).where(
            and_(JOBS.lease_id.is_not(None), JOBS.lease_ends_at >= _LAST)
        ),
    ]
    return (
        update(cancel_jobs)
        .where(or_(*(InQuery(JOBS.partner_txn_uid, each) for each in found)), never)
        .values(
            next_attempt_at=case(
                (JOBS.next_attempt_at >= _LAST, Now()), else_=JOBS.next_attempt_at
            ),
            lease_ends_at=case((JOBS.lease_ends_at >= _LAST, Now()), else_=JOBS.lease_ends_at),
        )
        .returning(JOBS.partner_txn_uid)
    )

"""What a conversation leaves behind: one attempt row, and every entry of its tokenList."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Executable, bindparam, select, update

from worker.domain.claims import Claim, ClaimKind, Evidence
from worker.domain.decision import Decision
from worker.domain.judgement import LEASE_ENDED
from worker.store.engine.database import Database, rows_of, storable
from worker.store.engine.elements import Now
from worker.store.schema.tables import cancel_attempts, token_statuses

ATTEMPTS = cancel_attempts.c
LONGEST_DETAIL = 2000
_HEARD: dict[str, ColumnElement[Any]] = {
    "duration_ms": bindparam("duration"),
    "http_status": bindparam("status"),
    "status_code": bindparam("said_status"),
    "error_code": bindparam("said_code"),
    "error_desc": bindparam("said_desc"),
    "short_code": bindparam("said_short"),
    "heard": bindparam("word"),
    "decision": bindparam("judged"),
    "detail": bindparam("why"),
    "finished_at": Now(),
}
KEPT: dict[str, ColumnElement[Any]] = {
    "partner_txn_uid": bindparam("uid"),
    "number": bindparam("conversation"),
    "kind": bindparam("held"),
    "wire_uid": bindparam("sent_as"),
    "started_at": bindparam("began"),
    "spent": bindparam("counts"),
    **_HEARD,
}
"""The columns of an attempt row, by the parameters that `Attempts.params` returns."""


class Attempts:
    """The statements about evidence, all inside the transaction of whoever settles."""

    def __init__(self, database: Database) -> None:
        self._database = database
        this = (
            ATTEMPTS.partner_txn_uid == bindparam("uid"),
            ATTEMPTS.number == bindparam("conversation"),
        )
        self._keep = database.insert(cancel_attempts).values(KEPT)
        self._correct: Executable = (
            update(cancel_attempts)
            .where(*this, ATTEMPTS.heard == LEASE_ENDED)
            .values(_HEARD)
            .returning(ATTEMPTS.number)
        )
        self._word = select(ATTEMPTS.heard).where(*this)
        self._observe = database.insert(token_statuses).values(observed_at=Now())

    def keep(
        self, connection: Connection, claim: Claim, decision: Decision, evidence: Evidence
    ) -> None:
        """Write the attempt row and the token statuses of a claim that ends."""
        rows_of(connection, self._keep, self.params(claim, decision, evidence))
        self._keep_tokens(connection, claim, evidence)

    def correct(
        self, connection: Connection, claim: Claim, decision: Decision, evidence: Evidence
    ) -> bool:
        """
        Put a late answer in the place of the row that the rescue left.

        False where there is no such row; then nothing is written. Whether the attempt
        counts stays as the rescue said: the job's count has been written with it.
        """
        params = self.params(claim, decision, evidence)
        if not rows_of(connection, self._correct, params):
            return False
        self._keep_tokens(connection, claim, evidence)
        return True

    def word(self, claim: Claim) -> str | None:
        """Return what is stored as heard in this conversation; None where nothing is."""
        uid = claim.request.partner_txn_uid
        rows = self._database.read(self._word, uid=uid, conversation=claim.number)
        return rows[0].heard if rows else None

    def _keep_tokens(self, connection: Connection, claim: Claim, evidence: Evidence) -> None:
        entries = evidence.entries()
        if entries:
            this = {"partner_txn_uid": claim.request.partner_txn_uid, "number": claim.number}
            times = self._database.times
            connection.execute(self._observe, [{**times, **this, **entry} for entry in entries])

    def params(self, claim: Claim, decision: Decision, evidence: Evidence) -> dict[str, Any]:
        """Return what an attempt row is made from."""
        return {
            **self._database.times,
            **evidence.words(),
            "uid": claim.request.partner_txn_uid,
            "conversation": claim.number,
            "held": claim.kind,
            "sent_as": evidence.wire_uid,
            "began": claim.started_at,
            "counts": decision.spent and claim.kind == ClaimKind.CANCEL,
            "duration": round(evidence.duration.total_seconds() * 1000),
            "status": evidence.answer.http_status if evidence.answer else None,
            "word": storable(decision.heard, 64),
            "judged": str(decision.event),
            "why": storable(decision.reason, LONGEST_DETAIL),
        }

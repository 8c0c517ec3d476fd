"""The evidence of a conversation: one attempt row, and every entry of its tokenList."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Executable, Insert, bindparam, select, update

from worker.domain.bounds import milliseconds
from worker.domain.claims import Claim, ClaimKind, Evidence
from worker.domain.decision import Decision
from worker.domain.judgement import LEASE_ENDED
from worker.store.engine.database import Database, rows_of, storable
from worker.store.engine.elements import Now
from worker.store.schema.tables import cancel_attempts, token_statuses

ATTEMPTS = cancel_attempts.c
LONGEST_DETAIL = 2000
_ANSWER = (
    "duration_ms",
    "http_status",
    "status_code",
    "error_code",
    "error_desc",
    "short_code",
    "heard",
    "decision",
    "detail",
)
"""What a late answer replaces of the row that the rescue wrote."""
_GIVEN = ("number", "kind", "wire_uid", "started_at", "spent", *_ANSWER)
_HEARD: dict[str, ColumnElement[Any]] = {
    **{name: bindparam(name) for name in _ANSWER},
    "finished_at": Now(),
}
ATTEMPT_ROW: dict[str, ColumnElement[Any]] = {
    "partner_txn_uid": bindparam("uid"),
    **{name: bindparam(name) for name in _GIVEN},
    "finished_at": Now(),
}
"""The columns of an attempt row, by the parameters that `Attempts.params` returns."""

TOKEN_COLUMNS = ("position", "token_id", "reference1", "status")
"""What `Evidence.entries` returns for each entry of a tokenList."""
_TOKEN_ROW: dict[str, ColumnElement[Any]] = {
    "partner_txn_uid": bindparam("uid"),
    "number": bindparam("number"),
    **{name: bindparam(name) for name in TOKEN_COLUMNS},
    "observed_at": Now(),
}


def evidence_statements(database: Database) -> tuple[Insert, Insert]:
    """Return the inserts of an attempt row and of one entry of its tokenList."""
    attempt = database.insert(cancel_attempts).values(ATTEMPT_ROW)
    return attempt, database.insert(token_statuses).values(_TOKEN_ROW)


class Attempts:
    """The statements about evidence, all inside the transaction that settles."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Not named like the column: an UPDATE sets each column that a parameter is named after.
        this = (
            ATTEMPTS.partner_txn_uid == bindparam("uid"),
            ATTEMPTS.number == bindparam("this_number"),
        )
        self._keep, self._observe = evidence_statements(database)
        self._correct: Executable = (
            update(cancel_attempts)
            .where(*this, ATTEMPTS.heard == LEASE_ENDED)
            .values(_HEARD)
            .returning(ATTEMPTS.number)
        )
        self._heard = select(ATTEMPTS.heard).where(*this)

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
        Replace what the rescue wrote by a late answer.

        Return False, and write nothing, if the rescue wrote no row. `spent` stays as the rescue
        wrote it, since the job's count was written with it.
        """
        params = self.params(claim, decision, evidence)
        corrected = {name: params[name] for name in ("now", "uid", *_ANSWER)}
        this = {"this_number": claim.number}
        if not rows_of(connection, self._correct, corrected | this):
            return False
        self._keep_tokens(connection, claim, evidence)
        return True

    def heard(self, claim: Claim) -> str | None:
        """Return `heard` of this conversation; None if no row is stored."""
        uid = claim.request.partner_txn_uid
        rows = self._database.read(self._heard, uid=uid, this_number=claim.number)
        return rows[0].heard if rows else None

    def _keep_tokens(self, connection: Connection, claim: Claim, evidence: Evidence) -> None:
        entries = evidence.entries()
        if entries:
            this = {"uid": claim.request.partner_txn_uid, "number": claim.number}
            times = self._database.times
            connection.execute(self._observe, [{**times, **this, **entry} for entry in entries])

    def params(self, claim: Claim, decision: Decision, evidence: Evidence) -> dict[str, object]:
        """Return the parameters of `ATTEMPT_ROW`."""
        return {
            **self._database.times,
            **evidence.words(),
            "uid": claim.request.partner_txn_uid,
            "number": claim.number,
            "kind": claim.kind,
            "wire_uid": evidence.wire_uid,
            "started_at": claim.started_at,
            "spent": decision.spent and claim.kind == ClaimKind.CANCEL,
            "duration_ms": milliseconds(evidence.duration),
            "http_status": evidence.answer.http_status if evidence.answer else None,
            "heard": storable(decision.heard, 64),
            "decision": str(decision.event),
            "detail": storable(decision.reason, LONGEST_DETAIL),
        }

"""One job from its acceptance to its end: accept, claim, settle."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    update,
)

from worker.domain.claims import Claim, ClaimKind, Evidence
from worker.domain.decision import Decision
from worker.domain.judgement import PAYABLE
from worker.domain.kplus import LONGEST_WORD
from worker.domain.leases import InquiryUids
from worker.domain.partners import Roster
from worker.domain.states import Event, State
from worker.errors import JobNotFound
from worker.store.engine.database import AnyRow, Database, rows_of, storable
from worker.store.engine.prepared import Prepared
from worker.store.jobs.accept import Acceptance, AcceptStatement
from worker.store.jobs.attempts import Attempts
from worker.store.jobs.claim import ClaimStatement, as_claim, claim_statement
from worker.store.jobs.finish import Finisher
from worker.store.jobs.lookup import lookup
from worker.store.jobs.settle import SETTLING, settle_statement, with_evidence
from worker.store.jobs.transitions import waiting
from worker.store.partners.gate import Gate
from worker.store.partners.modes import PartnerModes
from worker.store.schema.tables import JOBS, cancel_jobs


class Jobs:
    """The statements of one job. Each is built once and guarded by the arrows."""

    def __init__(
        self,
        database: Database,
        partners: PartnerModes,
        inquiry_uids: InquiryUids,
        ends: Finisher,
    ) -> None:
        self._database = database
        self._ends = ends
        self._partners = partners
        self._inquiry_uids = inquiry_uids
        self._attempts = Attempts(database)
        self._accepting = AcceptStatement(database)
        self._known = Prepared(database, lookup(bindparam("uid")))
        self._gate = Gate(database)
        self._claiming = ClaimStatement(database)
        self._claim = claim_statement()
        self._settle_with_evidence = {
            event: Prepared(database, with_evidence(settle_statement(event, State.IN_FLIGHT)))
            for event in SETTLING
        }
        self._unhint = (
            update(cancel_jobs)
            .where(JOBS.partner_txn_uid == bindparam("uid"), waiting())
            .values(hinted_at=None)
        )
        self._settle = {event: settle_statement(event, State.IN_FLIGHT) for event in SETTLING}
        self._settle_late = {
            event: settle_statement(event, State.IN_DOUBT)
            for event in (Event.SUCCEED, Event.REFUSE)
        }

    def accept(
        self,
        order: Mapping[str, Any],
        *,
        hinted: bool,
        connection: Connection | None = None,
    ) -> Acceptance:
        """
        Store an order if its uid is new; else say how it compares with the stored one.

        The uid of a pruned job is never new: its tombstone speaks for it.
        `order` holds uid, partner_id, token_id, reference1 and expires_at. `hinted` says
        that somebody looks at the job at once, so that the sweep need not. With a
        `connection` the row joins the caller's transaction.
        """
        return self._accepting(order, hinted=hinted, connection=connection)

    def exists(self, uid: str) -> bool:
        """Say whether a job is stored under this uid, or was until it was pruned."""
        return bool(self._known(uid=uid))

    def claim(self, uid: str, *, lease: timedelta, roster: Roster) -> Claim | None:
        """
        Take the right to talk to the bank about one job.

        None where nothing is to be done: not due, final, held by another, past its
        expiry, or its partner takes no call now. A job in doubt, or past its expiry, is
        claimed for an inquiry where its partner can make one; that is no attempt. Raises
        `JobNotFound` where there is no such job, or is none any more.
        """
        params: dict[str, Any] = {
            "uid": uid,
            "lease_id": self._inquiry_uids.lease_id(),
            "lease_seconds": lease.total_seconds(),
            "inquirers": roster.inquirers,
        }
        row = self._claiming(**params, unlimited=roster.unlimited)
        if row is None:
            raise JobNotFound(f"no job is stored under {uid}")
        if row.lease_id is not None:
            return as_claim(row, calm=row.is_calm)
        return self._claim_by_the_gate(params, roster) if row.may_be_claimed else None

    def _claim_by_the_gate(self, params: Mapping[str, Any], roster: Roster) -> Claim | None:
        with suppress(_NotLetIn), self._database.writing() as connection:
            rows = rows_of(connection, self._claim, {**self._database.times, **params})
            return self._let_in(connection, rows[0], roster) if rows else None
        # It must be hinted again when its partner is ready, not when its hint has aged.
        self._database.run(self._unhint, uid=params["uid"])
        return None

    def _let_in(self, connection: Connection, row: AnyRow, roster: Roster) -> Claim:
        """Pass the partner's gate; most claims never see it."""
        claim = as_claim(row)
        partner = roster.get(claim.request.partner_id)
        if partner is None or (row.is_open and not partner.is_limited):
            return claim
        entry = self._gate.enter(connection, claim, partner)
        if entry is None:
            raise _NotLetIn
        return replace(claim, wait=entry.wait)

    def settle(self, claim: Claim, decision: Decision, evidence: Evidence) -> bool:
        """
        Write what came of a claim: state, attempt row, token statuses, partner.

        One transaction. False where the lease was lost; then nothing was written.
        """
        params = self._params(claim, decision, evidence)
        if self._is_alone(claim, decision):
            params |= self._attempts.params(claim, decision, evidence)
            told = evidence.entries()
            return bool(self._settle_with_evidence[decision.event](**params, entries=told))
        with self._database.writing() as connection:
            if not self._ends.run(connection, self._settle[decision.event], params):
                return False
            self._attempts.keep(connection, claim, decision, evidence)
            self._partners.note(connection, claim, decision, evidence)
            return True

    def _is_alone(self, claim: Claim, decision: Decision) -> bool:
        """Say whether job and evidence are all that is written, so that one statement can do it."""
        others = self._ends.are_told or self._partners.is_moved(claim, decision)
        return not (others or self._database.is_sqlite)

    def settle_late(self, claim: Claim, decision: Decision, evidence: Evidence) -> bool:
        """
        Keep an answer that came after the lease was lost, as evidence.

        It may end a job that is still in doubt, and changes nothing else. True where it
        ended the job.
        """
        ends = self._settle_late.get(decision.event)
        with self._database.writing() as connection:
            # The job before its evidence, as everywhere: two who wait never wait for each other.
            params = self._params(claim, decision, evidence)
            ended = bool(ends is not None and self._ends.run(connection, ends, params))
            self._attempts.correct(connection, claim, decision, evidence)
            return ended

    def has_settled(self, claim: Claim, decision: Decision) -> bool:
        """
        Say whether this claim was settled so before.

        Asked by a worker that lost the database while it settled: its transaction may
        have been committed all the same.
        """
        return self._attempts.heard(claim) == storable(decision.heard, 64)

    def _params(self, claim: Claim, decision: Decision, evidence: Evidence) -> dict[str, Any]:
        seen = decision.token_status
        return {
            **self._database.times,
            **evidence.words(),
            "uid": claim.request.partner_txn_uid,
            "this_lease_id": claim.lease_id,
            "new_outcome": decision.outcome,
            "token_status": None if seen is None else storable(seen, LONGEST_WORD),
            "unspent": 1 if claim.kind == ClaimKind.CANCEL and not decision.spent else 0,
            "wait_seconds": decision.wait.total_seconds() if decision.wait else 0.0,
            "is_payable": decision.heard == PAYABLE,
        }


class _NotLetIn(Exception):
    """The partner's gate is closed."""

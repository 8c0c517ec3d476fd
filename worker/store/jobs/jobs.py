"""One job from its acceptance to its end: accept, claim, settle."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    update,
)

from worker.domain.claims import Claim, Evidence
from worker.domain.decision import Decision
from worker.domain.leases import InquiryUids
from worker.domain.partners import Partner, Roster
from worker.domain.states import Event, State
from worker.errors import JobNotFound
from worker.store.engine.database import AnyRow, Database, storable
from worker.store.engine.prepared import Prepared
from worker.store.jobs.accept import Acceptance, AcceptStatement
from worker.store.jobs.attempts import Attempts
from worker.store.jobs.callers import AcceptInTransaction
from worker.store.jobs.claim import ClaimStatement, as_claim, claim_statement
from worker.store.jobs.finish import Finisher
from worker.store.jobs.lookup import lookup
from worker.store.jobs.next_claim import Line, NextClaim, Settlement
from worker.store.jobs.settle import settle_statement
from worker.store.jobs.settlements import Settlements
from worker.store.jobs.transitions import waiting
from worker.store.partners.gate import Gate, Slot
from worker.store.partners.modes import PartnerModes
from worker.store.schema.tables import JOBS, cancel_jobs


class Jobs:
    """The statements of one job, guarded by the arrows."""

    def __init__(
        self,
        database: Database,
        partners: PartnerModes,
        inquiry_uids: InquiryUids,
        finisher: Finisher,
    ) -> None:
        self._database = database
        self._finisher = finisher
        self._inquiry_uids = inquiry_uids
        self._attempts = Attempts(database)
        self._accept = AcceptStatement(database)
        self._accept_in_transaction = AcceptInTransaction(database)
        self._lookup = Prepared(database, lookup(bindparam("uid")))
        self._gate = Gate(database)
        self._claim_without_gate = ClaimStatement(database)
        self._claim = Prepared(database, claim_statement())
        self._line = Line(database)
        self._settlements = Settlements(
            database,
            partners=partners,
            finisher=finisher,
            attempts=self._attempts,
            line=self._line,
        )
        self._unhint = (
            update(cancel_jobs)
            .where(JOBS.partner_txn_uid == bindparam("uid"), waiting())
            .values(hinted_at=None, hints=0)
        )

    def accept(
        self,
        order: Mapping[str, Any],
        *,
        hinted: bool,
        connection: Connection | None = None,
    ) -> Acceptance:
        """
        Store an order if its uid is new; else compare it with the stored one.

        The uid of a pruned job is not new: its tombstone is compared. `order` holds uid,
        partner_id, token_id, reference1 and expires_at. `hinted` says that the caller sends
        the hint, so that the sweep need not. With a `connection` the row joins the caller's
        transaction.
        """
        if connection is None:
            return self._accept(order, hinted=hinted)
        uid = order["uid"]
        return self._accept_in_transaction(connection, [order], hinted=[uid] if hinted else [])[uid]

    def exists(self, uid: str) -> bool:
        """Say whether a job is stored under this uid, or was before it was pruned."""
        return bool(self._lookup(uid=uid))

    def claim(self, uid: str, *, lease: timedelta, roster: Roster) -> Claim | None:
        """
        Take the right to one conversation with the bank about a job.

        Return None if there is nothing to do: the job is not due, final, claimed by another
        worker or past its expiry, or its partner takes no call now. A job in doubt, or past
        its expiry, is claimed for an inquiry if its partner can make one; that is no attempt.
        Raise `JobNotFound` if there is no such job, or it was pruned.
        """
        params: dict[str, object] = {
            "uid": uid,
            "lease_id": self._inquiry_uids.lease_id(),
            "lease_seconds": lease.total_seconds(),
            "inquirers": roster.inquirers,
        }
        row = self._claim_without_gate(**params, unlimited=roster.unlimited)
        if row is None:
            raise JobNotFound(f"no job is stored under {uid}")
        if row.lease_id is not None:
            return as_claim(row, partner_is_healthy=row.is_healthy)
        return self._claim_through_gate(params, roster) if row.may_be_claimed else None

    def _claim_through_gate(self, params: Mapping[str, object], roster: Roster) -> Claim | None:
        with suppress(_GateClosed):
            with self._database.writing() as connection:
                rows = self._claim.on(connection, **params)
                if not rows:
                    return None
                claim = as_claim(rows[0])
                slot = self._enter(connection, claim, rows[0], roster)
            return claim if slot is None else self._gate.admit(claim, slot)
        # The next hint is due when its partner is ready, not when this one has aged.
        self._database.run(self._unhint, uid=params["uid"])
        return None

    def _enter(
        self, connection: Connection, claim: Claim, row: AnyRow, roster: Roster
    ) -> Slot | None:
        """Pass the partner's gate; None if it needs none. Raise `_GateClosed`."""
        partner = roster.get(claim.request.partner_id)
        if partner is None or (row.is_open and not partner.is_limited):
            return None
        slot = self._gate.enter(connection, claim, partner)
        if slot is None:
            raise _GateClosed
        return slot

    def another_slot(self, claim: Claim, partner: Partner, *, lead: timedelta) -> Claim | None:
        """
        Take another slot of the partner for a claim that missed its own; see `Gate.enter_again`.

        The claim is kept: its lease and its attempt are the same.
        """
        return self._gate.enter_again(claim, partner, lead=lead)

    def settle(self, claim: Claim, decision: Decision, evidence: Evidence) -> bool:
        """
        Write the result of a claim: state, attempt row, token statuses, partner.

        All in one transaction. Return False, and write nothing, if the lease was lost.
        """
        return self.settle_and_claim(claim, decision, evidence, None).is_mine

    def settle_and_claim(
        self,
        claim: Claim,
        decision: Decision,
        evidence: Evidence,
        following: NextClaim | None,
    ) -> Settlement:
        """
        Do as `settle`, and in the same transaction claim the next job of this partner.

        If the lease was lost, nothing is claimed. If this fails, neither has happened, or only
        the answer was lost: `settle` and `has_settled` say which, and then `claimed_as`.
        """
        return self._settlements.settle(claim, decision, evidence, following)

    def next_claim(
        self, partner_id: str, *, lease: timedelta, roster: Roster, place: datetime
    ) -> NextClaim | None:
        """
        Return what claims the next job of a partner with the settlement of another.

        None if its calls are limited, so that the gate has a word about each of them, or if it is
        not configured.
        """
        partner = roster.get(partner_id)
        if partner is None or partner.is_limited:
            return None
        lease_id = self._inquiry_uids.lease_id()
        return NextClaim(partner_id, lease_id, lease, roster.inquirers, place)

    def claimed_as(self, following: NextClaim) -> Claim | None:
        """Return the claim that a settlement took whose answer was lost; None if it took none."""
        return self._line.held(following)

    def settle_late(self, claim: Claim, decision: Decision, evidence: Evidence) -> bool:
        """
        Store an answer that came after the lease was lost, as evidence.

        It may end a job that is still in doubt, and changes nothing else. Return whether it
        ended the job.
        """
        ends = decision.event in (Event.SUCCEED, Event.REFUSE)
        with self._database.writing() as connection:
            # The job before its evidence, as everywhere: no two transactions can deadlock.
            params = self._settlements.params(claim, decision, evidence)
            ended = ends and self._finisher.run(
                connection, settle_statement(decision.event, State.IN_DOUBT), params
            )
            self._attempts.correct(connection, claim, decision, evidence)
            return bool(ended)

    def has_settled(self, claim: Claim, decision: Decision) -> bool:
        """
        Say whether this claim was settled by this decision before.

        A worker that lost the database while it settled asks: its transaction may have been
        committed.
        """
        return self._attempts.heard(claim) == storable(decision.heard, 64)


class _GateClosed(Exception):
    """The partner's gate is closed."""

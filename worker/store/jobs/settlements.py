"""What ends a claim: one statement where one will do, and always one transaction."""

from collections.abc import Mapping

from worker.domain.bounds import bounded_wait
from worker.domain.claims import Claim, ClaimKind, Evidence
from worker.domain.decision import Decision
from worker.domain.judgement import PAYABLE
from worker.domain.kplus import MAX_TEXT_LENGTH
from worker.domain.states import FINAL, TRANSITIONS, Event, State
from worker.store.engine.database import Database, storable
from worker.store.engine.prepared import Prepared
from worker.store.jobs.attempts import Attempts
from worker.store.jobs.finish import Finisher
from worker.store.jobs.next_claim import Line, NextClaim, Settlement, settlement
from worker.store.jobs.next_claim import params as next_params
from worker.store.jobs.settle import settle_statement, with_evidence
from worker.store.partners.modes import PartnerModes


class Settlements:
    """
    The statements that settle a claim, and with it claim the next job of a run.

    There are many, and a process needs few: each is built when it is first needed.
    """

    def __init__(
        self,
        database: Database,
        *,
        partners: PartnerModes,
        finisher: Finisher,
        attempts: Attempts,
        line: Line,
    ) -> None:
        self._database = database
        self._partners = partners
        self._finisher = finisher
        self._attempts = attempts
        self._line = line
        self._prepared: dict[tuple[Event, bool, bool], Prepared] = {}

    def settle(
        self,
        claim: Claim,
        decision: Decision,
        evidence: Evidence,
        following: NextClaim | None,
    ) -> Settlement:
        """Do as `Jobs.settle_and_claim` promises."""
        params = self.params(claim, decision, evidence)
        if self._database.is_sqlite or self._partners.changes(claim, decision):
            return self._in_steps(claim, decision, evidence, following, params)
        params |= self._attempts.params(claim, decision, evidence)
        params["entries"] = evidence.entries()
        if self._finisher.has_destinations and TRANSITIONS[decision.event].target in FINAL:
            return self._and_tell(decision.event, following, params)
        return self._at_once(decision.event, following, params)

    def _at_once(
        self, event: Event, following: NextClaim | None, params: dict[str, object]
    ) -> Settlement:
        """Write the job and its evidence, and claim the next one: one statement."""
        params |= next_params(following) if following else {}
        rows = self._statement(event, claims_next=following is not None)(**params)
        if not rows:
            return Settlement(is_mine=False)
        return settlement(rows[0] if following and rows[0].lease_id is not None else None)

    def _and_tell(
        self, event: Event, following: NextClaim | None, params: Mapping[str, object]
    ) -> Settlement:
        """Do so in two statements: what the first one returns is told by the second."""
        with self._database.writing() as connection:
            rows = self._statement(event, is_told=True).on(connection, **params)
            if not rows:
                return Settlement(is_mine=False)
            return settlement(self._finisher.tell_and_claim(connection, rows[0], following))

    def _in_steps(
        self,
        claim: Claim,
        decision: Decision,
        evidence: Evidence,
        following: NextClaim | None,
        params: Mapping[str, object],
    ) -> Settlement:
        """Do so one by one, and write the partner's row."""
        with self._database.writing() as connection:
            moving = settle_statement(decision.event, State.IN_FLIGHT)
            if not self._finisher.run(connection, moving, params):
                return Settlement(is_mine=False)
            self._attempts.keep(connection, claim, decision, evidence)
            self._partners.record(connection, claim, decision, evidence)
            return settlement(self._line.claim(connection, following) if following else None)

    def params(self, claim: Claim, decision: Decision, evidence: Evidence) -> dict[str, object]:
        """Return the parameters of `settle_statement`."""
        status = decision.token_status
        return {
            **self._database.times,
            **evidence.words(),
            "uid": claim.request.partner_txn_uid,
            "this_lease_id": claim.lease_id,
            "new_outcome": decision.outcome,
            "token_status": None if status is None else storable(status, MAX_TEXT_LENGTH),
            "unspent": 1 if claim.kind == ClaimKind.CANCEL and not decision.spent else 0,
            "wait_seconds": bounded_wait(decision.wait),
            "is_payable": decision.heard == PAYABLE,
        }

    def _statement(
        self, event: Event, *, claims_next: bool = False, is_told: bool = False
    ) -> Prepared:
        key = event, claims_next, is_told
        if key not in self._prepared:
            moving = settle_statement(event, State.IN_FLIGHT)
            whole = with_evidence(moving, claims_next=claims_next, is_told=is_told)
            self._prepared[key] = Prepared(self._database, whole)
        return self._prepared[key]

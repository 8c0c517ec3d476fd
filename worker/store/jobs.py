"""One job from its acceptance to its end: accept, claim, settle."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    Integer,
    String,
    Update,
    and_,
    bindparam,
    case,
    func,
    or_,
    update,
)

from worker.cases import Decision
from worker.kplus import LONGEST_WORD
from worker.leases import InquiryUids
from worker.models import cancel_jobs
from worker.outcomes import PAYABLE
from worker.partners import Roster
from worker.states import Event, Outcome, State
from worker.store.attempts import Attempts
from worker.store.claims import CANCEL, INQUIRY, Claim, Evidence, as_claim
from worker.store.database import After, AnyRow, Database, Now, rows_of, storable
from worker.store.ends import TOLD, Ends
from worker.store.gate import Gate, is_limited, is_open
from worker.store.known import is_same, known, state_of
from worker.store.moves import (
    JOBS,
    can_ask,
    has_expired,
    move,
    partner_rests,
    past_its_limits,
    waiting,
)
from worker.store.partners import PartnerModes


class Status(StrEnum):
    """What became of an order at the door."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer of `accept`: what became of the order, and where its job stands."""

    status: Status
    state: State
    outcome: Outcome | None


def compared(stored: AnyRow, order: Mapping[str, Any]) -> Acceptance:
    """Say what an order is beside the job, or the tombstone, that has its uid."""
    return Acceptance(
        Status.DUPLICATE if is_same(stored, order) else Status.CONFLICT,
        state_of(stored),
        Outcome(stored.outcome) if stored.outcome else None,
    )


def accepting(database: Database) -> Any:
    """Return the insert of an order whose uid is new; `hinted` as for `Jobs.accept`."""
    return (
        database.insert(cancel_jobs)
        .values(
            partner_txn_uid=bindparam("uid"),
            partner_id=bindparam("partner_id"),
            token_id=bindparam("token_id"),
            reference1=bindparam("reference1"),
            expires_at=bindparam("expires_at"),
            created_at=Now(),
            updated_at=Now(),
            next_attempt_at=Now(),
            hinted_at=case((bindparam("hinted", type_=Boolean()), Now()), else_=None),
        )
        .on_conflict_do_nothing()
        # An insert that did nothing returns no row; its rowcount says -1 (measured).
        .returning(JOBS.partner_txn_uid)
    )


class Jobs:
    """The statements of one job. Each is built once and guarded by the arrows."""

    def __init__(
        self,
        database: Database,
        partners: PartnerModes,
        inquiry_uids: InquiryUids,
        ends: Ends,
    ) -> None:
        self._database = database
        self._ends = ends
        self._partners = partners
        self._inquiry_uids = inquiry_uids
        self._attempts = Attempts(database)
        self._accept = accepting(database)
        self._known = known(bindparam("uid"))
        self._gate = Gate(database)
        self._claim = _claim()
        self._unhint = (
            update(cancel_jobs)
            .where(JOBS.partner_txn_uid == bindparam("uid"), waiting())
            .values(hinted_at=None)
        )
        self._settle = {event: _settle(event, State.IN_FLIGHT) for event in _SETTLING}
        self._settle_late = {
            event: _settle(event, State.IN_DOUBT) for event in (Event.SUCCEED, Event.REFUSE)
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
        if connection is not None:
            return self._accept_on(connection, order, hinted=hinted)
        with self._database.writing() as own:
            return self._accept_on(own, order, hinted=hinted)

    def _accept_on(
        self, connection: Connection, order: Mapping[str, Any], *, hinted: bool
    ) -> Acceptance:
        params = {**self._database.times, **order, "hinted": hinted}
        if rows_of(connection, self._accept, params):
            return Acceptance(Status.ACCEPTED, State.PENDING, None)
        (stored,) = rows_of(connection, self._known, {"uid": order["uid"]})
        return compared(stored, order)

    def exists(self, uid: str) -> bool:
        """Say whether a job is stored under this uid, or was until it was pruned."""
        return bool(self._database.read(self._known, uid=uid))

    def claim(self, uid: str, *, lease: timedelta, roster: Roster) -> Claim | None:
        """
        Take the right to talk to the bank about one job.

        None where nothing is to be done: not due, final, held by another, past its
        expiry, or its partner takes no call now. A job in doubt, or past its expiry, is
        claimed for an inquiry where its partner can make one; that is no attempt.
        """
        with suppress(_NotLetIn), self._database.writing() as connection:
            params = {
                **self._database.times,
                "uid": uid,
                "lease_id": self._inquiry_uids.lease_id(),
                "lease": lease.total_seconds(),
                "inquirers": roster.inquirers(),
            }
            rows = rows_of(connection, self._claim, params)
            return self._let_in(connection, rows[0], roster) if rows else None
        # It must be hinted again when its partner is ready, not when its hint has aged.
        self._database.run(self._unhint, uid=uid)
        return None

    def _let_in(self, connection: Connection, row: AnyRow, roster: Roster) -> Claim:
        """Pass the partner's gate; most claims need one statement and never see it."""
        claim = as_claim(row)
        partner = roster.get(claim.request.partner_id)
        if partner is None or (row.is_open and not is_limited(partner)):
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
        with self._database.writing() as connection:
            params = self._params(claim, decision, evidence)
            if not self._ends.run(connection, self._settle[decision.event], params):
                return False
            self._attempts.keep(connection, claim, decision, evidence)
            self._partners.note(connection, claim, decision, evidence)
            return True

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
        return self._attempts.word(claim) == storable(decision.heard, 64)

    def _params(self, claim: Claim, decision: Decision, evidence: Evidence) -> dict[str, Any]:
        seen = decision.token_status
        return {
            **self._database.times,
            **evidence.words(),
            "uid": claim.request.partner_txn_uid,
            "lease": claim.lease_id,
            "end": decision.outcome,
            "token_seen": None if seen is None else storable(seen, LONGEST_WORD),
            "given_back": 1 if claim.kind == CANCEL and not decision.spent else 0,
            "wait": decision.wait.total_seconds() if decision.wait else 0.0,
            "payable": decision.heard == PAYABLE,
        }


class _NotLetIn(Exception):
    """The partner's gate is closed."""


_SETTLING = (Event.SUCCEED, Event.REFUSE, Event.RETRY, Event.DOUBT, Event.EXHAUST)


def _claim() -> Update:
    """One guarded statement; the row before decides between a cancel and an inquiry."""
    asks = and_(can_ask(), or_(JOBS.state == State.IN_DOUBT, has_expired()))
    return (
        move(Event.CLAIM)
        .where(
            JOBS.partner_txn_uid == bindparam("uid"),
            JOBS.next_attempt_at <= Now(),
            ~past_its_limits(),
            ~partner_rests(),
        )
        .values(
            attempts=JOBS.attempts + case((asks, 0), else_=1),
            conversations=JOBS.conversations + 1,
            lease_id=bindparam("lease_id"),
            lease_ends_at=After("lease"),
            lease_kind=case((asks, INQUIRY), else_=CANCEL),
            next_attempt_at=None,
            hinted_at=None,
        )
        .returning(*cancel_jobs.c, is_open().label("is_open"))
    )


def _settle(event: Event, source: State) -> Update:
    """End a claim: from in_flight under my lease, or from in_doubt with a late answer."""
    statement = move(event, only_from=frozenset({source})).where(
        JOBS.partner_txn_uid == bindparam("uid")
    )
    if source is State.IN_FLIGHT:
        statement = statement.where(JOBS.lease_id == bindparam("lease"))
    return statement.values(
        # What the bank said last about the token outlives later silence.
        token_status=func.coalesce(bindparam("token_seen", type_=String()), JOBS.token_status),
        status_code=bindparam("said_status"),
        error_code=bindparam("said_code"),
        error_desc=bindparam("said_desc"),
        attempts=JOBS.attempts - bindparam("given_back", type_=Integer()),
        still_payable_at=case(
            (bindparam("payable", type_=Boolean()), Now()), else_=JOBS.still_payable_at
        ),
    ).returning(*TOLD)

"""Audits: inquiries about final jobs, through the partner's gate; the jobs stay unchanged."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import bindparam, func, insert, select, update

from worker.domain.claims import Claim, ClaimKind, Evidence
from worker.domain.decision import Decision
from worker.domain.kplus import MAX_TEXT_LENGTH, CancelRequest
from worker.domain.leases import InquiryUids
from worker.domain.partners import Partner
from worker.domain.states import FINAL, Outcome
from worker.store.engine.column_types import Utc
from worker.store.engine.database import Database, rows_of, storable
from worker.store.engine.elements import Now, NowPlus
from worker.store.jobs.attempts import LONGEST_DETAIL
from worker.store.partners.conditions import rests
from worker.store.partners.gate import Gate
from worker.store.partners.modes import PartnerModes
from worker.store.schema.tables import JOBS, audits, cancel_jobs
from worker.store.schema.tables import partners as partner_rows


class AuditVerdict(StrEnum):
    """The result of an audit; `unheard` if the bank's answer does not settle it."""

    AGREES = "agrees"
    DRIFTS = "drifts"
    UNHEARD = "unheard"


@dataclass(frozen=True, slots=True)
class AuditCandidate:
    """A final job that was chosen by chance, and the outcome that we hold."""

    request: CancelRequest
    held: Outcome
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Audit:
    """The right to one inquiry about a final job, until its lease ends."""

    number: int
    claim: Claim


class Audits:
    """The statements of an audit. None of them changes a job."""

    def __init__(
        self, database: Database, partners: PartnerModes, inquiry_uids: InquiryUids
    ) -> None:
        self._database = database
        self._partners = partners
        self._inquiry_uids = inquiry_uids
        self._gate = Gate(database)
        self._sample = (
            select(cancel_jobs)
            .where(
                JOBS.state.in_(sorted(FINAL)),
                JOBS.updated_at >= bindparam("since", type_=Utc()),
                JOBS.outcome.in_(bindparam("outcomes", expanding=True)),
                JOBS.partner_id.in_(bindparam("inquirers", expanding=True)),
            )
            .order_by(func.random())
            .limit(bindparam("most"))
        )
        self._rests = select(partner_rows.c.reason).where(
            partner_rows.c.partner_id == bindparam("partner"), rests()
        )
        self._begin = (
            insert(audits)
            .values(
                partner_txn_uid=bindparam("uid"),
                partner_id=bindparam("partner"),
                wire_uid=bindparam("wire_uid"),
                held=bindparam("held"),
                started_at=Now(),
                ends_at=NowPlus("lease_seconds"),
            )
            .returning(audits.c.id, audits.c.started_at, audits.c.ends_at)
        )
        self._end = (
            update(audits)
            .where(audits.c.id == bindparam("this_id"))
            .values(
                finished_at=Now(),
                verdict=bindparam("verdict"),
                heard=bindparam("heard"),
                token_status=bindparam("token_status"),
                detail=bindparam("detail"),
            )
        )

    def sample(
        self, *, most: int, since: datetime, outcomes: list[Outcome], inquirers: list[str]
    ) -> list[AuditCandidate]:
        """Return final jobs that ended since then, chosen at random."""
        rows = self._database.read(
            self._sample, most=most, since=since, outcomes=outcomes, inquirers=inquirers
        )
        return [
            AuditCandidate(
                CancelRequest(row.partner_txn_uid, row.partner_id, row.token_id, row.reference1),
                Outcome(row.outcome),
                row.finished_at,
            )
            for row in rows
        ]

    def rest_reason(self, partner_id: str) -> str | None:
        """Return why a partner takes no calls now; None if it does."""
        rows = self._database.read(self._rests, partner=partner_id)
        return rows[0].reason if rows else None

    def begin(
        self, candidate: AuditCandidate, partner: Partner, *, lease: timedelta
    ) -> Audit | None:
        """
        Take the right to one inquiry, through the partner's gate; None if it is closed now.

        Until its lease ends it counts as one of the partner's calls, like a job in flight.
        """
        claim = _claim(candidate, self._inquiry_uids.lease_id(), lease)
        with suppress(_GateClosed):
            with self._database.writing() as connection:
                params = {
                    **self._database.times,
                    "uid": candidate.request.partner_txn_uid,
                    "partner": partner.partner_id,
                    "wire_uid": claim.on_the_wire.partner_txn_uid,
                    "held": str(candidate.held),
                    "lease_seconds": lease.total_seconds(),
                }
                ((number, started_at, ends_at),) = rows_of(connection, self._begin, params)
                claim = replace(claim, started_at=started_at, lease_ends_at=ends_at)
                slot = self._gate.enter(connection, claim, partner)
                if slot is None:
                    raise _GateClosed
            return Audit(number, self._gate.admit(claim, slot))
        return None

    def end(
        self, audit: Audit, verdict: AuditVerdict, decision: Decision, evidence: Evidence
    ) -> None:
        """Store the result, and what the call says about its partner, as with any other call."""
        status = decision.token_status
        with self._database.writing() as connection:
            params = {
                **self._database.times,
                "this_id": audit.number,
                "verdict": str(verdict),
                "heard": storable(decision.heard, 64),
                "token_status": None if status is None else storable(status, MAX_TEXT_LENGTH),
                "detail": storable(decision.reason, LONGEST_DETAIL),
            }
            rows_of(connection, self._end, params)
            self._partners.record(connection, audit.claim, decision, evidence)


class _GateClosed(Exception):
    """The partner's gate is closed."""


def _claim(candidate: AuditCandidate, lease_id: str, lease: timedelta) -> Claim:
    """Return a claim for the partner only: it claims no job and numbers no conversation."""
    at = candidate.finished_at  # replaced by the database's time in `begin`
    return Claim(
        request=candidate.request,
        lease_id=lease_id,
        number=0,
        kind=ClaimKind.INQUIRY,
        attempts=1,
        doubted=True,
        created_at=at,
        expires_at=None,
        started_at=at,
        lease_ends_at=at + lease,
    )

"""Asking the bank again about final jobs: through the partner's gate, and without touching them."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import bindparam, func, insert, select, update

from worker.domain.claims import Claim, ClaimKind, Evidence
from worker.domain.decision import Decision
from worker.domain.kplus import LONGEST_WORD, CancelRequest
from worker.domain.leases import InquiryUids
from worker.domain.partners import Partner
from worker.domain.states import FINAL, Outcome
from worker.store.engine.column_types import Utc
from worker.store.engine.database import Database, rows_of, storable
from worker.store.engine.elements import After, Now
from worker.store.jobs.attempts import LONGEST_DETAIL
from worker.store.partners.conditions import rests
from worker.store.partners.gate import Gate
from worker.store.partners.modes import PartnerModes
from worker.store.schema.tables import JOBS, audits, cancel_jobs
from worker.store.schema.tables import partners as partner_rows


class AuditVerdict(StrEnum):
    """What an audit found; `unheard` where the bank said nothing that settles it."""

    AGREES = "agrees"
    DRIFTS = "drifts"
    UNHEARD = "unheard"


@dataclass(frozen=True, slots=True)
class Sampled:
    """A final job that chance chose, and the outcome we hold of it."""

    request: CancelRequest
    held: Outcome
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Audit:
    """The right to ask once about a final job, until its lease ends."""

    number: int
    claim: Claim


class Audits:
    """The statements of an audit. None of them writes to a job."""

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
                ends_at=After("lease_seconds"),
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
    ) -> list[Sampled]:
        """Return final jobs that ended since then, chosen by chance."""
        rows = self._database.read(
            self._sample, most=most, since=since, outcomes=outcomes, inquirers=inquirers
        )
        return [
            Sampled(
                CancelRequest(row.partner_txn_uid, row.partner_id, row.token_id, row.reference1),
                Outcome(row.outcome),
                row.finished_at,
            )
            for row in rows
        ]

    def rest_reason(self, partner_id: str) -> str | None:
        """Return why a partner takes no calls for a while; None where it takes them."""
        rows = self._database.read(self._rests, partner=partner_id)
        return rows[0].reason if rows else None

    def begin(self, sampled: Sampled, partner: Partner, *, lease: timedelta) -> Audit | None:
        """
        Take the right to ask once, through the partner's gate; None where it is closed now.

        While it lasts it counts among the partner's calls, as a job in flight does.
        """
        claim = _claim(sampled, self._inquiry_uids.lease_id(), lease)
        with suppress(_NotLetIn), self._database.writing() as connection:
            params = {
                **self._database.times,
                "uid": sampled.request.partner_txn_uid,
                "partner": partner.partner_id,
                "wire_uid": claim.on_the_wire.partner_txn_uid,
                "held": str(sampled.held),
                "lease_seconds": lease.total_seconds(),
            }
            ((number, started_at, ends_at),) = rows_of(connection, self._begin, params)
            claim = replace(claim, started_at=started_at, lease_ends_at=ends_at)
            entry = self._gate.enter(connection, claim, partner)
            if entry is None:
                raise _NotLetIn
            return Audit(number, replace(claim, wait=entry.wait))
        return None

    def end(
        self, audit: Audit, verdict: AuditVerdict, decision: Decision, evidence: Evidence
    ) -> None:
        """Keep what was found, and let the partner feel the call as it feels any other."""
        status = decision.token_status
        with self._database.writing() as connection:
            params = {
                **self._database.times,
                "this_id": audit.number,
                "verdict": str(verdict),
                "heard": storable(decision.heard, 64),
                "token_status": None if status is None else storable(status, LONGEST_WORD),
                "detail": storable(decision.reason, LONGEST_DETAIL),
            }
            rows_of(connection, self._end, params)
            self._partners.note(connection, audit.claim, decision, evidence)


class _NotLetIn(Exception):
    """The partner's gate is closed."""


def _claim(sampled: Sampled, lease_id: str, lease: timedelta) -> Claim:
    """Return a claim on the partner alone: it is on no job, and numbers no conversation."""
    at = sampled.finished_at  # replaced by the database's time once it is let in
    return Claim(
        request=sampled.request,
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

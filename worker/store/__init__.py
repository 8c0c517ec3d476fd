"""The store: the only place that opens transactions, one short one per method."""

from collections.abc import Collection

from worker.domain.claims import Claim, ClaimKind, Evidence
from worker.domain.destinations import Destination
from worker.domain.leases import InquiryUids
from worker.store.engine.callers_session import connection_of
from worker.store.engine.database import Clock, Database, open_database
from worker.store.engine.errors import is_locked
from worker.store.engine.timeouts import Timeouts
from worker.store.jobs.accept import Acceptance, Status
from worker.store.jobs.bulk import Bulk
from worker.store.jobs.finish import Finisher
from worker.store.jobs.jobs import Jobs
from worker.store.jobs.misfits import Misfits, refuses_row
from worker.store.jobs.next_claim import NextClaim
from worker.store.jobs.rejected_messages import (
    RejectedLimits,
    RejectedMessage,
    RejectedMessages,
)
from worker.store.jobs.sweep import Backlog
from worker.store.operators.actions import Actions
from worker.store.operators.audits import Audits
from worker.store.operators.requeue import NewExpiry, RequeueRequest, RequeueResult, Verdict
from worker.store.operators.retention import MIN_AGE, Retention
from worker.store.outbox.endpoints import Endpoint, Endpoints, EndpointStatus
from worker.store.outbox.events import Delivery, Outbox
from worker.store.partners.cooldown import Cooldown
from worker.store.partners.modes import UNCONFIGURED, PartnerModes, Rest
from worker.store.reports.conversations import Conversations, JobConversations
from worker.store.reports.drift import Drifts
from worker.store.reports.exports import Exports
from worker.store.reports.filters import EVERY_JOB, JobFilter
from worker.store.reports.first_calls import FirstCall, FirstCalls
from worker.store.reports.reports import JobFile, Reports, Stats
from worker.store.reports.seen import Unseen, UnseenEnds, UnseenReport
from worker.store.reports.unknown_words import UnknownWords
from worker.store.reports.waiting import Waiting

__all__ = [
    "EVERY_JOB",
    "MIN_AGE",
    "UNCONFIGURED",
    "Acceptance",
    "Claim",
    "ClaimKind",
    "Clock",
    "Cooldown",
    "Database",
    "Delivery",
    "Endpoint",
    "EndpointStatus",
    "Evidence",
    "FirstCall",
    "JobConversations",
    "JobFile",
    "JobFilter",
    "NewExpiry",
    "NextClaim",
    "RejectedLimits",
    "RejectedMessage",
    "RequeueRequest",
    "RequeueResult",
    "Rest",
    "Stats",
    "Status",
    "Store",
    "Timeouts",
    "Unseen",
    "UnseenEnds",
    "Verdict",
    "connection_of",
    "is_locked",
    "open_database",
    "refuses_row",
]


class Store:
    """
    Every statement that this software sends, grouped by what it is about.

    For each job that ends through this store, an event is stored for each of `destinations`.
    """

    def __init__(
        self,
        database: Database,
        *,
        cooldown: Cooldown | None = None,
        inquiry_uids: InquiryUids | None = None,
        destinations: Collection[Destination] = (),
        rejected: RejectedLimits | None = None,
    ) -> None:
        self.database = database
        self.partners = PartnerModes(database, cooldown or Cooldown())
        uids = inquiry_uids or InquiryUids()
        finisher = Finisher(database, destinations)
        self.jobs = Jobs(database, self.partners, uids, finisher)
        self.bulk = Bulk(database)
        self.audits = Audits(database, self.partners, uids)
        self.backlog = Backlog(database, finisher)
        self.misfits = Misfits(database, finisher)
        self.rejected_messages = RejectedMessages(database, rejected)
        self.outbox = Outbox(database)
        self.endpoints = Endpoints(database)
        self.actions = Actions(database, self.partners, finisher)
        self.reports = Reports(database)
        self.drifts = Drifts(database)
        self.unseen = UnseenReport(database)
        self.waiting = Waiting(database)
        self.first_calls = FirstCalls(database)
        self.unknown_words = UnknownWords(database)
        self.conversations = Conversations(database)
        self.retention = Retention(database)
        self.exports = Exports(database)

    def close(self) -> None:
        """Close every connection of this process."""
        self.database.close()

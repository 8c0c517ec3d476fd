"""The store: the only place that opens transactions, one short one per method."""

from collections.abc import Collection

from worker.domain.claims import Claim, ClaimKind, Evidence
from worker.domain.destinations import Destination
from worker.domain.leases import InquiryUids
from worker.forksafe import once
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

    A group is built when it is first needed: a command needs few of them, and so does each child
    of a prefork worker. For each job that ends through this store, an event is stored for each of
    `destinations`.
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
        self._cooldown = cooldown or Cooldown()
        self._inquiry_uids = inquiry_uids or InquiryUids()
        self._finisher = Finisher(database, destinations)
        self._rejected = rejected

    @once
    def partners(self) -> PartnerModes:
        """The partners' modes, and what conversations say about them."""
        return PartnerModes(self.database, self._cooldown)

    @once
    def jobs(self) -> Jobs:
        """One job: accept, claim, settle."""
        return Jobs(self.database, self.partners, self._inquiry_uids, self._finisher)

    @once
    def bulk(self) -> Bulk:
        """Many orders at once."""
        return Bulk(self.database)

    @once
    def audits(self) -> Audits:
        """Questions to the bank about final jobs."""
        return Audits(self.database, self.partners, self._inquiry_uids)

    @once
    def backlog(self) -> Backlog:
        """What a pass of the sweep does."""
        return Backlog(self.database, self._finisher)

    @once
    def misfits(self) -> Misfits:
        """Rows that nothing can be done with as they are."""
        return Misfits(self.database, self._finisher)

    @once
    def rejected_messages(self) -> RejectedMessages:
        """Messages that cannot become a job."""
        return RejectedMessages(self.database, self._rejected)

    @once
    def outbox(self) -> Outbox:
        """What the order system is still to be told."""
        return Outbox(self.database)

    @once
    def endpoints(self) -> Endpoints:
        """How the receivers of outcomes are."""
        return Endpoints(self.database)

    @once
    def actions(self) -> Actions:
        """What operators do."""
        return Actions(self.database, self.partners, self._finisher)

    @once
    def reports(self) -> Reports:
        """Jobs as people and programs read them."""
        return Reports(self.database)

    @once
    def drifts(self) -> Drifts:
        """Tokens that the bank says another thing about than the job."""
        return Drifts(self.database)

    @once
    def unseen(self) -> UnseenReport:
        """Ends that no person has seen."""
        return UnseenReport(self.database)

    @once
    def waiting(self) -> Waiting:
        """What waits, and for what."""
        return Waiting(self.database)

    @once
    def first_calls(self) -> FirstCalls:
        """The calls that go first for a partner."""
        return FirstCalls(self.database)

    @once
    def unknown_words(self) -> UnknownWords:
        """The bank's words that nobody has taught yet."""
        return UnknownWords(self.database)

    @once
    def conversations(self) -> Conversations:
        """What the bank was asked, and said."""
        return Conversations(self.database)

    @once
    def retention(self) -> Retention:
        """What is old enough to be deleted."""
        return Retention(self.database)

    @once
    def exports(self) -> Exports:
        """Outcomes for other systems, in order."""
        return Exports(self.database)

    def close(self) -> None:
        """Close every connection of this process."""
        self.database.close()

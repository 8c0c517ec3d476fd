"""The store: the only place that opens transactions, one short one per method."""

from collections.abc import Collection

from worker.domain.claims import CANCEL, INQUIRY, Claim, Evidence
from worker.domain.destinations import Destination
from worker.domain.leases import InquiryUids
from worker.store.engine.database import Clock, Database, open_database
from worker.store.engine.engines import Waits
from worker.store.engine.errors import is_locked
from worker.store.jobs.accept import Acceptance, Status
from worker.store.jobs.bulk import Bulk
from worker.store.jobs.finish import Ends
from worker.store.jobs.jobs import Jobs
from worker.store.jobs.rejected_messages import Messages, Rejected
from worker.store.jobs.sweep import Backlog
from worker.store.operators.actions import Actions
from worker.store.operators.audits import Audits
from worker.store.operators.requeue import NewExpiry, Ruling, Verdict, Wish
from worker.store.operators.retention import YOUNGEST, Prunes
from worker.store.outbox.endpoints import Endpoint, Glance, Receivers
from worker.store.outbox.events import Outbox, Parcel
from worker.store.partners.cooldown import Rest
from worker.store.partners.modes import UNCONFIGURED, PartnerModes
from worker.store.reports.conversations import Conversations, Told
from worker.store.reports.exports import Exports
from worker.store.reports.reports import JobFile, Reports, Stats
from worker.store.reports.unknown_words import Words

__all__ = [
    "CANCEL",
    "INQUIRY",
    "UNCONFIGURED",
    "YOUNGEST",
    "Acceptance",
    "Claim",
    "Clock",
    "Database",
    "Endpoint",
    "Evidence",
    "Glance",
    "JobFile",
    "NewExpiry",
    "Parcel",
    "Rejected",
    "Rest",
    "Ruling",
    "Stats",
    "Status",
    "Store",
    "Told",
    "Verdict",
    "Waits",
    "Wish",
    "is_locked",
    "open_database",
]


class Store:
    """
    Every statement this software sends, in rooms by what they are about.

    Of each job that ends by way of this store, `destinations` are told.
    """

    def __init__(
        self,
        database: Database,
        *,
        rest: Rest | None = None,
        inquiry_uids: InquiryUids | None = None,
        destinations: Collection[Destination] = (),
    ) -> None:
        self.database = database
        self.partners = PartnerModes(database, rest or Rest())
        uids = inquiry_uids or InquiryUids()
        ends = Ends(database, destinations)
        self.jobs = Jobs(database, self.partners, uids, ends)
        self.bulk = Bulk(database)
        self.audits = Audits(database, self.partners, uids)
        self.backlog = Backlog(database, ends)
        self.messages = Messages(database)
        self.outbox = Outbox(database)
        self.receivers = Receivers(database)
        self.actions = Actions(database, self.partners, ends)
        self.reports = Reports(database)
        self.words = Words(database)
        self.conversations = Conversations(database)
        self.prunes = Prunes(database)
        self.exports = Exports(database)

    def close(self) -> None:
        """Close every connection of this process."""
        self.database.close()

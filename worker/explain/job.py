"""One job as it is read from the store, with all that its explanation is made from."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.config.settings import Settings
from worker.domain.maintenance import Maintenance
from worker.domain.partners import PartnerMode
from worker.errors import JobNotFound
from worker.explain.next_steps import JobContext, Limits
from worker.explain.partner import PartnerView
from worker.store import JobFile, Store

MOST_ACTS = 100


@dataclass(frozen=True, slots=True)
class StoredJob:
    """What is stored of a job: its evidence, acts of operators on it, what was told of it."""

    file: JobFile
    acts: list[dict[str, Any]]
    matter: JobContext
    events: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class PrunedJob:
    """What is left of a job that was pruned."""

    row: dict[str, Any]


def read_job(uid: str, *, store: Store, settings: Settings) -> StoredJob | PrunedJob:
    """Read a job, or what is left of it. Raises `JobNotFound`."""
    file = store.reports.file(uid)
    if file is None:
        left = store.retention.tombstone(uid)
        if left is not None:
            return PrunedJob(left)
        raise JobNotFound(f"no job is stored under {uid!r}; see `kplus-cancel rejected`")
    door = _door(store, settings, file.job["partner_id"])
    acts = store.reports.actions(uid, most=MOST_ACTS)
    events = store.outbox.events(uid=uid, most=MOST_ACTS)
    matter = JobContext(
        job=file.job,
        door=door,
        limits=Limits(settings.max_attempts, timedelta(seconds=settings.max_age_seconds)),
        now=datetime.now(UTC),
        heard=frozenset(row["heard"] for row in file.attempts),
        maintenance=Maintenance.read(settings.maintenance or ""),
    )
    own = [act for act in acts if act["action"] in {"requeue", "reissue", "rejudge"}]
    return StoredJob(file, own, matter, events)


def _door(store: Store, settings: Settings, partner_id: str) -> PartnerView:
    row = next((row for row in store.partners.all() if row.partner_id == partner_id), None)
    stored = None if row is None else row._asdict()
    pause = None
    if stored is not None and stored["mode"] == PartnerMode.PAUSED:
        # An operator's pause is written together with its record, and just before it.
        newest = store.reports.actions(partner_id, most=1)
        mine = [act for act in newest if act["action"] == "pause_partner"]
        pause = next((act for act in mine if act["at"] >= stored["updated_at"]), None)
    partner = settings.roster().get(partner_id)
    return PartnerView(partner_id, stored, partner, pause)

"""One job as it is read from the store, with all that its explanation is made from."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.config.settings import Settings
from worker.domain.maintenance import Maintenance
from worker.domain.partners import PartnerMode
from worker.domain.states import Outcome
from worker.errors import JobNotFound
from worker.explain import Row
from worker.explain.history import happened, names_the_token, stands
from worker.explain.job_context import JobContext, Limits
from worker.explain.meanings import ENDS
from worker.explain.next_steps import next_steps
from worker.explain.partner import PartnerView
from worker.store import JobFile, Store

MOST_ACTIONS = 100
EXPLAINED = frozenset(
    {"requeue", "reopen", "reissue", "rejudge", "discard", "seen", "end", "set_right"}
)
"""The actions that are part of a job's history."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job with its evidence, the operators' actions on it, and its events of the outbox."""

    file: JobFile
    actions: list[dict[str, Any]]
    context: JobContext
    events: list[dict[str, Any]]

    def following(self) -> list[str]:
        """Return what the job came to and what happens next, with the commands that help."""
        steps = next_steps(self.context)
        commands = [f"{each.what}: {each.command}" for each in steps.advice if each.command]
        outcome = self.file.job["outcome"]
        return [*([ENDS[Outcome(outcome)]] if outcome else []), *steps.next, *commands]

    def stands(self) -> str:
        """Return where the job stands, since when, and what that means."""
        return stands(self.file.job, self.context.now)

    def history(self) -> list[str]:
        """Return what happened to the job, oldest first."""
        told = happened(self.file.job, self.file.attempts, self.actions, self.context.now)
        return [*told, *map(names_the_token, self.file.same_token)]

    def document(self) -> dict[str, Any]:
        """Return the explanation as JSON has it."""
        job, steps = self.file.job, next_steps(self.context)
        return {
            "partner_txn_uid": job["partner_txn_uid"],
            "state": job["state"],
            "outcome": job["outcome"],
            "stands": self.stands(),
            "happened": self.history(),
            "next": " ".join(steps.next),
            "next_at": steps.at,
            "acts": steps.advice,
            "named_with": self.file.same_token,
        }


@dataclass(frozen=True, slots=True)
class PrunedJob:
    """What is left of a job that was pruned."""

    row: Row


def read_job(uid: str, *, store: Store, settings: Settings) -> StoredJob | PrunedJob:
    """Read a job, or what is left of it. Raises `JobNotFound`."""
    file = store.reports.file(uid)
    if file is None:
        tombstone = store.retention.tombstone(uid)
        if tombstone is not None:
            return PrunedJob(tombstone)
        raise JobNotFound(f"no job is stored under {uid!r}; see `kplus-cancel rejected`")
    actions = store.reports.actions(uid, most=MOST_ACTIONS)
    context = JobContext(
        job=file.job,
        partner=_partner_view(store, settings, file.job["partner_id"]),
        limits=Limits(settings.max_attempts, timedelta(seconds=settings.max_age_seconds)),
        now=datetime.now(UTC),
        heard=frozenset(row["heard"] for row in file.attempts),
        maintenance=Maintenance.read(settings.maintenance or ""),
        same_token=tuple(other["partner_txn_uid"] for other in file.same_token),
        drift=None if file.job["outcome"] is None else store.drifts.latest(uid),
    )
    explained = [each for each in actions if each["action"] in EXPLAINED]
    events = store.outbox.events(uid=uid, most=MOST_ACTIONS)
    return StoredJob(file, explained, context, events)


def _partner_view(store: Store, settings: Settings, partner_id: str) -> PartnerView:
    row = next((row for row in store.partners.all() if row.partner_id == partner_id), None)
    stored = None if row is None else row._asdict()
    pause = None
    if stored is not None and stored["mode"] == PartnerMode.PAUSED:
        # An operator's pause is written in one transaction with its record, and just before it.
        newest = store.reports.actions(partner_id, most=1)
        pauses = [each for each in newest if each["action"] == "pause_partner"]
        pause = next((each for each in pauses if each["at"] >= stored["updated_at"]), None)
    partner = settings.roster().get(partner_id)
    return PartnerView(partner_id, stored, partner, pause)

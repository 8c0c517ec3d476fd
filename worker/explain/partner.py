"""Whether a partner lets a job's call start now, and why not, in plain words."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.config.settings import Settings
from worker.domain.gate import first_calls, is_cooling, is_proven
from worker.domain.partners import Partner, PartnerMode
from worker.explain import Row
from worker.explain.pauses import PauseCause, cause_of
from worker.explain.text import NEVER, ended, hint, jobs, moment, shown
from worker.store import FirstCall, Store


def resting_partners(store: Store) -> dict[str, Row]:
    """Return the partners that take no calls now, by id."""
    return {
        row.partner_id: row._asdict()
        for row in store.partners.all()
        if row.mode != PartnerMode.ACTIVE
    }


def known_partners(settings: Settings, store: Store) -> list[dict[str, Any]]:
    """Return every partner that is configured here or has ever rested, by id."""
    stored = {row.partner_id: row._asdict() for row in store.partners.all()}
    waits_for = {call.partner_id: call for call in store.first_calls.under_way()}
    roster = settings.roster()
    active = {"mode": PartnerMode.ACTIVE, "reason": None, "resume_at": None, "failures": 0}
    return [
        {
            "partner_id": name,
            **stored.get(name, {**active, "updated_at": None}),
            "configured": name in roster,
            "waits_for": first_call_document(waits_for.get(name)),
        }
        for name in sorted({*stored, *roster})
    ]


def first_call_document(call: FirstCall | None) -> dict[str, object] | None:
    """Return the call that a partner waits for as JSON has it; None if it waits for none."""
    if call is None:
        return None
    return {
        "partner_id": call.partner_id,
        "partner_txn_uid": call.partner_txn_uid,
        "since": call.since,
        "following": call.following,
    }


def first_call_sentence(call: FirstCall, now: datetime) -> str:
    """Return what a partner waits for, and what follows."""
    return (
        f"waits for the answer of one call, about job {shown(call.partner_txn_uid)}, "
        f"since {moment(call.since, now)}; then {jobs(call.following)} "
        f"{'follows' if call.following == 1 else 'follow'}"
    )


def partner_cells(row: Row, now: datetime) -> tuple[object, ...]:
    """Return one of `known_partners` as partner, mode, here, since, resumes and reason."""
    waits = row["waits_for"]
    if waits is not None:
        sentence = first_call_sentence(FirstCall(**waits), now)
        row = {**row, "reason": sentence if row["reason"] is None else row["reason"]}
    since = hint(row["updated_at"], now) if row["updated_at"] else NEVER
    resumes = moment(row["resume_at"], now) if row["resume_at"] else NEVER
    here = "configured" if row["configured"] else "no credentials"
    return row["partner_id"], row["mode"], here, since, resumes, row["reason"]


@dataclass(frozen=True, slots=True)
class PartnerView:
    """
    A partner as it is stored, as it is configured here, and who paused it.

    `row` is None if it has never been called, `partner` if it is not configured here, `pause` (the
    record of the act) if no operator paused it.
    """

    partner_id: str
    row: Row | None = None
    partner: Partner | None = None
    pause: Row | None = None

    @property
    def name(self) -> str:
        """The partner's id, as a terminal may print it."""
        return shown(self.partner_id)

    @property
    def reason(self) -> str:
        """Why it takes no calls."""
        return shown(self.row["reason"] if self.row else None)

    @property
    def inquires(self) -> bool | None:
        """Whether the bank can be asked what became of a token; None if it is not known here."""
        return None if self.partner is None else self.partner.inquiry_url is not None

    @property
    def paused(self) -> bool:
        """Whether it takes no calls until it is resumed."""
        return self.row is not None and self.row["mode"] == PartnerMode.PAUSED

    @property
    def resumed_at(self) -> datetime | None:
        """When its last pause ended: no job ages before that. None if it was never paused."""
        at: datetime | None = self.row.get("resumed_at") if self.row else None
        return at

    @property
    def paused_by(self) -> str | None:
        """The operator who paused it; None if a worker did."""
        return shown(self.pause["who"]) if self.pause else None

    @property
    def resume_at(self) -> datetime:
        """The end of its cool-down; only set while it cools down."""
        at: datetime = (self.row or {})["resume_at"]
        return at

    def is_cooling(self, now: datetime) -> bool:
        """Return whether it is cooling down now."""
        return self.row is not None and is_cooling(self.row, now=now)

    def pause_sentence(self, now: datetime) -> str:
        """Return since when it is paused, by whom and why."""
        since = moment(self.row["updated_at"] if self.row else None, now)
        who = self.paused_by or "a worker"
        return ended(
            f"Nothing until partner {self.name} is resumed. "
            f"It is paused since {since}, by {who}: {self.reason}"
        )

    @property
    def cause(self) -> PauseCause:
        """What mends the cause for which a worker paused it."""
        return cause_of(self.row["reason"] if self.row else None)

    def remedy(self) -> str:
        """Return what to do about the reason for which a worker paused it."""
        here = f" (there are no credentials of partner {self.name} here)"
        return self.cause.sentence + (here if self.partner is None else "")

    def probe_sentence(self, job: Row, now: datetime) -> str:
        """Return that the partner's other jobs wait for this job's call; empty if they do not."""
        if job["lease_id"] not in self._first_calls(now):
            return ""
        return f"It goes first: the other jobs of partner {self.name} wait for its answer."

    def delays(self, now: datetime) -> Iterator[str]:
        """Yield what delays a job that is due, while its partner is neither paused nor cooling."""
        if self.row is None or not is_proven(self.row, now=now):
            yield self._unproven(now)
        elif self.row["pace"] is not None:
            yield (
                f"After its rest the calls of partner {self.name} follow one another at "
                f"{self.row['pace']:.2g} s, and quicken; the latest began {self._latest(now)}."
            )
        yield from self._configured_limits()

    def _unproven(self, now: datetime) -> str:
        row = self.row or {}
        since = row.get("proven_at") or row.get("updated_at")
        if row.get("mode") == PartnerMode.COOLING:
            state = f"has cooled down ({self.reason}) and must prove itself"
        elif since is None:
            state = "has not been called yet"
        else:
            state = f"has not proved itself since {moment(since, now)}"
        if not self._first_calls(now):
            return (
                f"Partner {self.name} {state}: one call goes first, perhaps this job's, "
                "and the others wait for its answer."
            )
        ends = [row.get("probe_ends_at"), row.get("second_probe_ends_at")]
        until = moment(max(at for at in ends if at is not None), now)
        about = f", about job {shown(row['probe_uid'])}" if row.get("probe_uid") else ""
        return (
            f"Partner {self.name} {state}: one call goes first{about}, "
            f"under way until {until} at the latest; this job waits for its answer."
        )

    def _first_calls(self, now: datetime) -> list[str]:
        return [] if self.row is None else first_calls(self.row, now=now)

    def _latest(self, now: datetime) -> str:
        at = self.row["slot_at"] if self.row else None
        return hint(at, now) if at else "at a time unknown"

    def _configured_limits(self) -> Iterator[str]:
        if self.partner is None:
            return
        rate, most = self.partner.rate_per_second, self.partner.max_concurrency
        bounds = [f"{rate:g} calls a second"] if rate is not None else []
        bounds += [f"{most} at once"] if most is not None else []
        if bounds:
            yield f"Partner {self.name} is limited by its settings to {' and '.join(bounds)}."

"""Whether a job's partner lets a call begin now, and why not, in plain words. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.domain.gate import is_cooling, is_probing, is_proven
from worker.domain.partners import Partner, PartnerMode
from worker.explain.text import ended, hint, moment, shown

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PartnerView:
    """
    A partner as it is stored, as it is configured here, and who paused it.

    `row` is None where it has never been called, `partner` where it is not configured
    here, `pause` where no operator did it.
    """

    partner_id: str
    row: Row | None = None
    partner: Partner | None = None
    pause: Row | None = None

    @property
    def name(self) -> str:
        """The partner, as a terminal may print it."""
        return shown(self.partner_id)

    @property
    def reason(self) -> str:
        """Why it rests."""
        return shown(self.row["reason"] if self.row else None)

    @property
    def inquires(self) -> bool | None:
        """Whether the bank can be asked what became of a token; None where nobody here knows."""
        return None if self.partner is None else self.partner.inquiry_url is not None

    @property
    def paused(self) -> bool:
        """Whether somebody must resume it."""
        return self.row is not None and self.row["mode"] == PartnerMode.PAUSED

    @property
    def paused_by(self) -> str | None:
        """The operator who paused it; None where a worker did."""
        return shown(self.pause["who"]) if self.pause else None

    @property
    def resume_at(self) -> datetime:
        """The end of its cool-down; only where it cools."""
        at: datetime = (self.row or {})["resume_at"]
        return at

    def cools(self, now: datetime) -> bool:
        """Say whether it cools down now."""
        return self.row is not None and is_cooling(self.row, now=now)

    def rests(self, now: datetime) -> str:
        """Return since when it is paused, by whom and why."""
        since = moment(self.row["updated_at"] if self.row else None, now)
        whom = self.paused_by or "a worker"
        return ended(
            f"Nothing until partner {self.name} is resumed. "
            f"It is paused since {since}, by {whom}: {self.reason}"
        )

    def mend(self) -> str:
        """Return what to do about the reason for which a worker paused it."""
        if self.partner is None:
            return f"Give the workers the credentials of partner {self.name}"
        return (
            "Mend what the reason names: secret, certificate, account or address. "
            "A worker that sees other credentials resumes the partner by itself"
        )

    def goes_first(self, job: Row, now: datetime) -> str:
        """Return a sentence where the whole partner waits for this job's call."""
        if not self._probing(now) or self.row is None or self.row["probe_id"] != job["lease_id"]:
            return ""
        return f"It goes first: the other jobs of partner {self.name} wait for what it hears."

    def holds_back(self, now: datetime) -> Iterator[str]:
        """Yield what lets a job wait though it is due and its partner does not rest."""
        if self.row is None or not is_proven(self.row, now=now):
            yield self._unproven(now)
        elif self.row["pace"] is not None:
            yield (
                f"After its rest the calls of partner {self.name} follow one another at "
                f"{self.row['pace']:.2g} s, and quicken; the latest began {self._latest(now)}."
            )
        yield from self._own_limits()

    def _unproven(self, now: datetime) -> str:
        row = self.row or {}
        since = row.get("proven_at") or row.get("updated_at")
        if row.get("mode") == PartnerMode.COOLING:
            why = f"has cooled down ({self.reason}) and must prove itself"
        elif since is None:
            why = "has not been called yet"
        else:
            why = f"has not proved itself since {moment(since, now)}"
        if not self._probing(now):
            return (
                f"Partner {self.name} {why}: one call goes first, perhaps this job's, "
                "and the others wait for what it hears."
            )
        until = moment(row["probe_ends_at"], now)
        return (
            f"Partner {self.name} {why}: one call goes first, "
            f"under way until {until} at the latest; this job waits for what it hears."
        )

    def _probing(self, now: datetime) -> bool:
        return self.row is not None and is_probing(self.row, now=now)

    def _latest(self, now: datetime) -> str:
        at = self.row["slot_at"] if self.row else None
        return hint(at, now) if at else "at a time unknown"

    def _own_limits(self) -> Iterator[str]:
        if self.partner is None:
            return
        rate, most = self.partner.rate_per_second, self.partner.max_concurrency
        bounds = [f"{rate:g} calls a second"] if rate is not None else []
        bounds += [f"{most} at once"] if most is not None else []
        if bounds:
            yield f"Partner {self.name} is limited by its settings to {' and '.join(bounds)}."

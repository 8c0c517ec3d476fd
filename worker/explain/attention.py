"""What is true of the whole table at a glance, and what of it needs a person."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.domain.partners import PartnerMode
from worker.domain.states import Outcome
from worker.explain.text import hint, jobs, moment, shown, span
from worker.store import EndpointStatus, Stats, Store

SLOW = timedelta(minutes=1)
"""A due job that waits longer means that no worker keeps up."""
LATELY = timedelta(hours=24)
"""What is older was seen by the shift before."""
LATE = timedelta(minutes=5)
"""An outcome that waits longer means that its receiver does not take it."""
MOST = 1000


@dataclass(frozen=True, slots=True)
class Overview:
    """All that `stats` tells, read at `now`."""

    counts: Stats
    resting: list[dict[str, Any]]
    silent: int
    unknown_lately: int
    rejected: Mapping[str, int]
    rejected_at: datetime | None
    told: list[EndpointStatus]
    now: datetime


@dataclass(frozen=True, slots=True)
class Need:
    """What needs a person, in a sentence, and the command to go on with."""

    what: str
    command: str


def read_overview(store: Store) -> Overview:
    """Read the picture from the store."""
    now = datetime.now(UTC)
    newest = store.rejected_messages.latest(most=1)
    unknown = store.reports.jobs(outcome=Outcome.UNKNOWN, since=now - LATELY, most=MOST)
    return Overview(
        counts=store.reports.stats(),
        resting=[row._asdict() for row in store.partners.all() if row.mode != PartnerMode.ACTIVE],
        silent=len(store.backlog.dead(most=MOST)),
        unknown_lately=len(unknown),
        rejected=store.rejected_messages.counts(),
        rejected_at=newest[0].last_at if newest else None,
        told=store.endpoints.statuses(),
        now=now,
    )


def attention(picture: Overview) -> Iterator[Need]:
    """Yield what needs a person; nothing where all is well."""
    counts, now = picture.counts, picture.now
    for row in picture.resting:
        yield rest(row, now)
    if counts.oldest_due is not None and counts.oldest_due > SLOW:
        resting = " Jobs of resting partners wait as well." if picture.resting else ""
        waited = f"the oldest has waited {span(counts.oldest_due)}: is a worker running?{resting}"
        yield Need(f"Due now: {jobs(counts.due)}, {waited}", "kplus-cancel doctor")
    if picture.silent:
        yield Need(
            f"{jobs(picture.silent)} in flight whose worker fell silent: "
            "a running worker puts them in doubt, and asks the bank again.",
            "kplus-cancel doctor",
        )
    if picture.unknown_lately:
        yield Need(
            f"{jobs(picture.unknown_lately)} ended unknown in the last 24 hours: ask the bank.",
            "kplus-cancel list --outcome unknown --since 24h",
        )
    yield from filter(None, map(untold, picture.told))
    if picture.rejected_at and picture.rejected_at > now - LATELY:
        last = hint(picture.rejected_at, now)
        yield Need(
            f"Messages that could not become a job, the last one {last}.", "kplus-cancel rejected"
        )


def untold(glance: EndpointStatus) -> Need | None:
    """Return why the order system is not told by one way; None where all is well."""
    name, endpoint = glance.endpoint.destination, glance.endpoint
    waits = f"{glance.waiting} outcomes wait"
    if endpoint.disabled:
        what = f"The {name} of the order system wants no more ({shown(endpoint.reason)}): {waits}."
        return Need(what, f"kplus-cancel outbox enable --destination {name} --reason WHY")
    if glance.dead:
        what = f"The order system was not told of {glance.dead} outcomes by {name}: they are dead."
        return Need(what, "kplus-cancel outbox list --state dead")
    if glance.oldest is not None and glance.oldest > LATE:
        why = f": {shown(endpoint.reason)}" if endpoint.reason else ""
        what = f"By {name} {waits}, the oldest for {span(glance.oldest)}{why}."
        return Need(what, "kplus-cancel outbox list")
    return None


def rest(row: Mapping[str, Any], now: datetime) -> Need:
    """Return why a partner takes no calls, and what ends that."""
    name, why = shown(row["partner_id"]), shown(row["reason"])
    if row["mode"] == PartnerMode.PAUSED:
        return Need(
            f"Partner {name} is paused since {moment(row['updated_at'], now)}: {why}",
            f"kplus-cancel partners resume {name} --reason WHY",
        )
    if row["resume_at"] <= now:
        text = f"Partner {name} has cooled down; the next call is a probe. It failed with: {why}"
    else:
        text = f"Partner {name} cools down until {moment(row['resume_at'], now)}: {why}"
    return Need(text, "kplus-cancel partners list")

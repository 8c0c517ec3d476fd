"""A summary of the whole table, and what in it needs a person."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.domain.partners import PartnerMode
from worker.domain.states import Outcome
from worker.explain import Row
from worker.explain.partner import first_call_document, first_call_sentence, resting_partners
from worker.explain.text import hint, jobs, moment, shown, span, typed
from worker.store import EndpointStatus, FirstCall, JobFilter, Stats, Store

SLOW = timedelta(minutes=1)
"""A job that is due for longer means that no worker keeps up."""
RECENT = timedelta(hours=24)
"""What is older was seen by the shift before."""
LATE = timedelta(minutes=5)
"""An outcome that waits longer means that its receiver does not accept it."""
MOST = 1000


@dataclass(frozen=True, slots=True)
class Overview:
    """All that `stats` reports, read at `now`."""

    counts: Stats
    resting: list[Row]
    past_lease: int
    recent_unknown: int
    rejected: Mapping[str, int]
    rejected_at: datetime | None
    endpoints: list[EndpointStatus]
    now: datetime
    first_calls: list[FirstCall] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return the overview as JSON has it."""
        counts = self.counts
        return {
            "states": counts.states,
            "outcomes": counts.outcomes,
            "attempts": counts.attempts,
            "due": counts.due,
            "oldest_due_seconds": counts.oldest_due,
            "in_flight_past_lease": self.past_lease,
            "partners_not_active": self.resting,
            "partners_waiting_for_a_call": [first_call_document(each) for each in self.first_calls],
            "rejected_messages": self.rejected,
            "told": [_endpoint_document(status) for status in self.endpoints],
            "attention": list(attention(self)),
        }


@dataclass(frozen=True, slots=True)
class AttentionItem:
    """One thing that needs a person, in a sentence, and the command to go on with."""

    what: str
    command: str


def read_overview(store: Store) -> Overview:
    """Read the overview from the store."""
    now = datetime.now(UTC)
    newest = store.rejected_messages.latest(most=1)
    recent = JobFilter(outcome=Outcome.UNKNOWN, changed_since=now - RECENT)
    return Overview(
        counts=store.reports.stats(),
        resting=list(resting_partners(store).values()),
        past_lease=len(store.backlog.dead(most=MOST)),
        recent_unknown=len(store.reports.jobs(recent, most=MOST)),
        rejected=store.rejected_messages.counts(),
        rejected_at=newest[0].last_at if newest else None,
        endpoints=store.endpoints.statuses(),
        now=now,
        first_calls=store.first_calls.under_way(),
    )


def attention(overview: Overview) -> Iterator[AttentionItem]:
    """Yield what needs a person; nothing if all is well."""
    counts, now = overview.counts, overview.now
    for row in overview.resting:
        yield resting_partner(row, now)
    for call in overview.first_calls:
        if call.following:
            what = f"Partner {shown(call.partner_id)} {first_call_sentence(call, now)}."
            yield AttentionItem(what, f"kplus-cancel why {typed(shown(call.partner_txn_uid))}")
    if counts.oldest_due is not None and counts.oldest_due > SLOW:
        resting = " Jobs of resting partners wait as well." if overview.resting else ""
        asks = "" if overview.first_calls else ": is a worker running?"
        waited = f"the oldest has waited {span(counts.oldest_due)}{asks or '.'}{resting}"
        yield AttentionItem(f"Due now: {jobs(counts.due)}, {waited}", "kplus-cancel doctor")
    if overview.past_lease:
        yield AttentionItem(
            f"{jobs(overview.past_lease)} in flight whose worker fell silent: "
            "a running worker puts them in doubt, and asks the bank again.",
            "kplus-cancel doctor",
        )
    if overview.recent_unknown:
        yield AttentionItem(
            f"{jobs(overview.recent_unknown)} ended unknown in the last 24 hours: ask the bank.",
            "kplus-cancel list --outcome unknown --since 24h",
        )
    yield from filter(None, map(undelivered, overview.endpoints))
    if overview.rejected_at and overview.rejected_at > now - RECENT:
        last = hint(overview.rejected_at, now)
        yield AttentionItem(
            f"Messages that could not become a job, the last one {last}.", "kplus-cancel rejected"
        )


def undelivered(status: EndpointStatus) -> AttentionItem | None:
    """Return why the order system gets no outcomes by one destination, or None if it does."""
    name, endpoint = status.endpoint.destination, status.endpoint
    waits = f"{status.waiting} outcomes wait"
    if endpoint.disabled:
        what = f"The {name} of the order system wants no more ({shown(endpoint.reason)}): {waits}."
        command = f"kplus-cancel outbox enable --destination {name} --reason WHY"
        return AttentionItem(what, command)
    if status.dead:
        what = f"{status.dead} outcomes did not reach the order system by {name}: they are dead."
        return AttentionItem(what, "kplus-cancel outbox list --state dead")
    if status.oldest is not None and status.oldest > LATE:
        reason = f": {shown(endpoint.reason)}" if endpoint.reason else ""
        what = f"By {name} {waits}, the oldest for {span(status.oldest)}{reason}."
        return AttentionItem(what, "kplus-cancel outbox list")
    return None


def resting_partner(row: Row, now: datetime) -> AttentionItem:
    """Return why a partner takes no calls, and what ends that."""
    name, reason = shown(row["partner_id"]), shown(row["reason"])
    if row["mode"] == PartnerMode.PAUSED:
        return AttentionItem(
            f"Partner {name} is paused since {moment(row['updated_at'], now)}: {reason}",
            f"kplus-cancel partners resume {name} --reason WHY",
        )
    if row["resume_at"] <= now:
        text = f"Partner {name} has cooled down; the next call is a probe. It failed with: {reason}"
    else:
        text = f"Partner {name} cools down until {moment(row['resume_at'], now)}: {reason}"
    return AttentionItem(text, "kplus-cancel partners list")


def _endpoint_document(status: EndpointStatus) -> dict[str, Any]:
    return {
        "destination": status.endpoint.destination,
        "mode": "disabled" if status.endpoint.disabled else "active",
        "reason": status.endpoint.reason,
        "waiting": status.waiting,
        "oldest_waiting_seconds": status.oldest,
        "dead": status.dead,
    }

"""A summary of the whole table, and what in it needs a person."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.domain.gate import is_cooling
from worker.domain.partners import PartnerMode
from worker.domain.states import Outcome
from worker.explain import Row
from worker.explain.partner import first_call_document, first_call_sentence, resting_partners
from worker.explain.pauses import NO_CREDENTIALS, discard_command, remedy
from worker.explain.text import ended, hint, jobs, moment, shown, span, typed
from worker.store import (
    UNCONFIGURED,
    EndpointStatus,
    FirstCall,
    JobFilter,
    Stats,
    Store,
    Unseen,
    UnseenEnds,
)

SLOW = timedelta(minutes=1)
"""A job that is due for longer means that no worker keeps up."""
UNSEEN = {
    Outcome.PAID: "the customer has paid. Refund, or ship.",
    Outcome.UNKNOWN: "the bank may or may not have cancelled. Ask the bank.",
    Outcome.GAVE_UP: "the token may still be paid. Mend the cause, and requeue them.",
    Outcome.REFUSED: "the bank will not cancel, and says why. Look at its codes.",
    Outcome.LAPSED: "the bank never said whether the customer had paid before. Find that out.",
}
"""What an end that nobody has seen means for money, and what to do about it."""
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
    same_token: int
    unseen: Unseen
    unknown_words: int
    unserved: Mapping[str, int]
    looked_at_all: bool
    longest_due: timedelta
    rejected: Mapping[str, int]
    rejected_not_kept: Mapping[str, int]
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
            "same_token": self.same_token,
            "unseen": [_unseen_document(*each, self.now) for each in self.unseen.ends.items()],
            "drifted": self.unseen.drift.jobs if self.unseen.drift else 0,
            "waiting_on_unknown_words": self.unknown_words,
            "waiting_unserved": self.unserved,
            "partners_not_active": self.resting,
            "partners_waiting_for_a_call": [first_call_document(each) for each in self.first_calls],
            "rejected_messages": self.rejected,
            "rejected_not_kept": self.rejected_not_kept,
            "told": [_endpoint_document(status) for status in self.endpoints],
            "attention": list(attention(self)),
        }


@dataclass(frozen=True, slots=True)
class AttentionItem:
    """One thing that needs a person, in a sentence, and the command to go on with."""

    what: str
    command: str


def read_overview(store: Store, configured: Collection[str] = ()) -> Overview:
    """
    Read the overview from the store.

    `configured` are the partners that are known here; if there are none, this is perhaps no
    machine of a worker, and which jobs nobody can serve is what the workers have found out.
    """
    now = datetime.now(UTC)
    newest = store.rejected_messages.latest(most=1)
    resting = list(resting_partners(store).values())
    waiting = store.waiting.longest_by_partner()
    return Overview(
        counts=store.reports.stats(),
        resting=resting,
        past_lease=len(store.backlog.dead(most=MOST)),
        same_token=count_of_same_token(store, now),
        unseen=store.unseen.read(),
        unknown_words=store.waiting.on_unknown_words(most=MOST),
        unserved=_unserved(waiting.by_partner, configured, resting),
        looked_at_all=waiting.complete,
        longest_due=longest_due(store, resting, now),
        rejected=store.rejected_messages.counts(),
        rejected_not_kept=store.rejected_messages.not_kept(),
        rejected_at=newest[0].last_at if newest else None,
        endpoints=store.endpoints.statuses(),
        now=now,
        first_calls=store.first_calls.under_way(),
    )


def longest_due(store: Store, resting: Iterable[Row], now: datetime) -> timedelta:
    """Return how long the oldest due job waits whose partner takes calls."""
    closed = [
        row["partner_id"]
        for row in resting
        if row["mode"] == PartnerMode.PAUSED or is_cooling(row, now=now)
    ]
    return store.waiting.longest_due(without=closed)


def _unserved(
    waiting: Mapping[str, int], configured: Collection[str], resting: Iterable[Row]
) -> dict[str, int]:
    """Return how many of the waiting jobs are of each partner without credentials."""
    found = {row["partner_id"] for row in resting if row["reason"] == UNCONFIGURED}
    return {
        name: count
        for name, count in waiting.items()
        if name in found or (configured and name not in configured)
    }


def attention(overview: Overview) -> Iterator[AttentionItem]:
    """Yield what needs a person, what may cost money first; nothing if all is well."""
    counts, now = overview.counts, overview.now
    yield from unseen_ends(overview.unseen, now)
    unserved = overview.unserved
    yield from _nobody_serves(unserved)
    for row in overview.resting:
        # Without jobs nobody waits for its credentials; with jobs it was named above.
        name = row["partner_id"]
        if row["reason"] != UNCONFIGURED or not (overview.looked_at_all or name in unserved):
            yield resting_partner(row, now)
    if overview.unknown_words:
        yield AttentionItem(
            f"Wait on words of the bank that the dialect does not know: "
            f"{_at_least(overview.unknown_words)}. The bank may have acted: teach the words.",
            "kplus-cancel dialect unknown",
        )
    for call in overview.first_calls:
        if call.following:
            what = f"Partner {shown(call.partner_id)} {first_call_sentence(call, now)}."
            yield AttentionItem(what, f"kplus-cancel why {typed(shown(call.partner_txn_uid))}")
    if overview.longest_due > SLOW:
        asks = "." if overview.first_calls else ": is a worker running?"
        waited = f"the oldest has waited {span(overview.longest_due)}{asks}"
        yield AttentionItem(f"Due now: {jobs(counts.due)}, {waited}", "kplus-cancel doctor")
    if overview.past_lease:
        yield AttentionItem(
            f"{jobs(overview.past_lease)} in flight whose worker fell silent: "
            "a running worker puts them in doubt, and asks the bank again.",
            "kplus-cancel doctor",
        )
    if overview.same_token:
        yield same_token(overview.same_token)
    yield from filter(None, map(undelivered, overview.endpoints))
    if overview.rejected_at and overview.rejected_at > now - RECENT:
        last = hint(overview.rejected_at, now)
        yield AttentionItem(
            f"Messages that could not become a job, the last one {last}.", "kplus-cancel rejected"
        )


def count_of_same_token(store: Store, now: datetime) -> int:
    """Return how many recent jobs name a token that another job names, up to `MOST`."""
    wanted = JobFilter(same_token=True, changed_since=now - RECENT)
    return len(store.reports.jobs(wanted, most=MOST))


def same_token(count: int) -> AttentionItem:
    """Return that orders name one token under two uids."""
    named = "names a token" if count == 1 else "name tokens"
    return AttentionItem(
        f"{jobs(count)} of the last 24 hours {named} that another job names as well: "
        "one of the two orders may name a wrong one.",
        "kplus-cancel list --same-token --since 24h",
    )


def unseen_ends(unseen: Unseen, now: datetime) -> Iterator[AttentionItem]:
    """Yield the ends that a person has to see and nobody has, what may cost money first."""
    if unseen.drift is not None:
        yield AttentionItem(
            f"{jobs(unseen.drift.jobs)} whose end the bank contradicts, by an audit "
            f"{hint(unseen.drift.oldest_at, now)}: the order system was told otherwise. "
            "Reopen them (`kplus-cancel requeue --drifted`), or mark them as seen.",
            "kplus-cancel list --drifted",
        )
    for outcome, ends in unseen.ends.items():
        since = f"the oldest {hint(ends.oldest_at, now)}"
        yield AttentionItem(
            f"{jobs(ends.jobs)} ended {outcome}, {since}: {UNSEEN[outcome]} "
            f"Then mark them as seen (`kplus-cancel seen --outcome {outcome}`).",
            f"kplus-cancel list --outcome {outcome} --unseen",
        )


def _nobody_serves(unserved: Mapping[str, int]) -> Iterator[AttentionItem]:
    for partner_id, count in sorted(unserved.items()):
        yield AttentionItem(
            f"{jobs(count)} of partner {shown(partner_id)}: nobody serves them. "
            f"{NO_CREDENTIALS.mend}.",
            discard_command(partner_id),
        )


def _at_least(count: int) -> str:
    return f"{count} jobs or more" if count >= MOST else jobs(count)


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
        since = moment(row["updated_at"], now)
        what, command = remedy(row)
        text = ended(f"Partner {name} is paused since {since}: {reason}")
        return AttentionItem(f"{text} {what}.", command or "kplus-cancel doctor")
    if row["resume_at"] <= now:
        text = f"Partner {name} has cooled down; the next call is a probe. It failed with: {reason}"
    else:
        text = f"Partner {name} cools down until {moment(row['resume_at'], now)}: {reason}"
    return AttentionItem(text, "kplus-cancel partners list")


def _unseen_document(outcome: Outcome, ends: UnseenEnds, now: datetime) -> dict[str, Any]:
    return {"outcome": outcome, "jobs": ends.jobs, "oldest_seconds": now - ends.oldest_at}


def _endpoint_document(status: EndpointStatus) -> dict[str, Any]:
    return {
        "destination": status.endpoint.destination,
        "mode": "disabled" if status.endpoint.disabled else "active",
        "reason": status.endpoint.reason,
        "waiting": status.waiting,
        "oldest_waiting_seconds": status.oldest,
        "dead": status.dead,
    }

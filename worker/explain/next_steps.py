"""What happens next to a job, when, and which act would move it. Pure: the time is an argument."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from worker.domain.claims import ClaimKind
from worker.domain.limits import has_expired, valid_expiry
from worker.domain.maintenance import Maintenance
from worker.domain.states import Outcome, State
from worker.explain.meanings import TO_DO
from worker.explain.partner import PartnerView
from worker.explain.text import hint, moment, shown, typed

Row = Mapping[str, Any]

LATE = timedelta(minutes=1)
"""A job that is due for longer, with nothing in its way, wants a look at the workers."""
UNKNOWN_WORDS = {"unknown_code", "unknown_status"}
DUPLICATE = "duplicate"
REASON = "--reason WHY"
FINAL = "Nothing: this is final."


@dataclass(frozen=True, slots=True)
class Limits:
    """After what a job ends undecided."""

    max_attempts: int
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class Act:
    """What a person can do about a job, and the command that does it, if one does."""

    what: str
    command: str | None = None


DOCTOR = "kplus-cancel doctor"
LOOK = Act("If nothing changes, no worker runs. To see", DOCTOR)
PERHAPS_ASKED = "Where a worker has an inquiry URL, one last inquiry is made"


@dataclass(frozen=True, slots=True)
class NextSteps:
    """
    What happens next, the most important sentence first, and what would move it.

    `at` is when the job may go on by itself; None where it does not.
    """

    next: list[str]
    at: datetime | None = None
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class JobContext:
    """All that an explanation is made from; `heard` holds the words of every attempt."""

    job: Row
    door: PartnerView
    limits: Limits
    now: datetime
    heard: frozenset[str] = frozenset()
    maintenance: Maintenance = field(default_factory=Maintenance)

    @property
    def expiry(self) -> datetime | None:
        """The token's expiry, unless the bank called the token payable after it."""
        return valid_expiry(self.job["expires_at"], still_payable_at=self.job["still_payable_at"])

    @property
    def expired(self) -> bool:
        """Whether the token can be paid no more."""
        return has_expired(self.expiry, at=self.now)


def next_steps(matter: JobContext) -> NextSteps:
    """Explain what follows for a job in any state."""
    job = matter.job
    if job["outcome"] is not None:
        return _final(matter)
    if job["state"] == State.IN_FLIGHT:
        return _in_flight(matter)
    if matter.expired and matter.door.inquires is False:
        passed = moment(matter.expiry, matter.now)
        text = f"It is past its limits: the token expired at {passed}. The next sweep ends it"
        return NextSteps([f"{text} as {_undecided(matter)}."], matter.now, [LOOK])
    return _waiting(matter)


def _final(matter: JobContext) -> NextSteps:
    job, outcome = matter.job, Outcome(matter.job["outcome"])
    if job["continued_by"] is not None:
        heir = shown(job["continued_by"])
        follow = Act("To follow the job that continues it", f"kplus-cancel why {typed(heir)}")
        return NextSteps([f"{FINAL} Job {heir} continues it: act on that one."], None, [follow])
    return NextSteps([f"{FINAL} {TO_DO[outcome]}"], None, list(_acts_at_end(matter, outcome)))


def _acts_at_end(matter: JobContext, outcome: Outcome) -> Iterator[Act]:
    job, uid = matter.job, shown(matter.job["partner_txn_uid"])
    if outcome not in {Outcome.REFUSED, Outcome.LAPSED, Outcome.GAVE_UP, Outcome.UNKNOWN}:
        return
    expires = " --expires WHEN" if matter.expired and not matter.door.inquires else ""
    requeue = f"kplus-cancel requeue {typed(uid)}{expires} {REASON}"
    if outcome is Outcome.LAPSED:
        yield Act("If that expiry was wrong, so that the token can still be paid", requeue)
        return
    if outcome is Outcome.UNKNOWN:
        yield Act(
            "Look it up in the bank's portal, or ask the bank: "
            f"tokenId {shown(job['token_id'])}, reference1 {shown(job['reference1'])}, "
            f"partnerTxnUid {uid}"
        )
    yield from _teach(matter)
    if outcome is Outcome.GAVE_UP:
        yield Act("To see what is wrong now", DOCTOR)
    yield from _wake(matter)
    again = (
        "If the token can still be paid" if outcome is Outcome.UNKNOWN else "Once that is mended"
    )
    yield Act(f"{again}, to cancel again under the same uid", requeue)
    if outcome is not Outcome.GAVE_UP:
        reissue = f"kplus-cancel reissue {typed(uid)} --as NEWUID{expires} {REASON}"
        yield Act("If the bank refuses that uid for ever, to cancel under another", reissue)


def _in_flight(matter: JobContext) -> NextSteps:
    job, now = matter.job, matter.now
    ends = job["lease_ends_at"]
    if ends <= now:
        text = (
            f"Its worker fell silent: the lease ended {hint(ends, now)}. "
            "The next sweep of any worker puts it in doubt, and the bank is asked again."
        )
        return NextSteps([text], now, [LOOK])
    asks = (
        "asks the bank what became of the token" if job["lease_kind"] == ClaimKind.INQUIRY else ""
    )
    text = (
        f"A worker holds it and {asks or 'asks the bank now'}, "
        f"until {moment(ends, now)} at the latest. "
        "If no answer is stored by then, it goes into doubt and the bank is asked again."
    )
    first = matter.door.goes_first(job, now)
    return NextSteps([text, *([first] if first else [])], ends)


def _waiting(matter: JobContext) -> NextSteps:
    """Explain what it waits for: the partner first, which outranks the job's own turn."""
    job, door, now = matter.job, matter.door, matter.now
    after = [*_doubt(job), *_limits(matter)]
    acts = [*_wake(matter), *_teach(matter), *_without_inquiry(matter)]
    if door.paused:
        return NextSteps([door.rests(now), *after], None, acts)
    at = max(job["next_attempt_at"], door.resume_at) if door.cools(now) else job["next_attempt_at"]
    opens = matter.maintenance.closed_until(max(at, now))
    if opens is not None:
        until = f"The bank is in maintenance until {moment(opens, now)}"
        return NextSteps([f"{until}: nothing is asked before (KPLUS_MAINTENANCE).", *after], opens)
    if door.cools(now):
        because = f", after partner {door.name} has cooled down ({door.reason})"
        return NextSteps([f"The bank is asked {moment(at, now)}{because}.", *after], at, acts)
    if at > now:
        again = "again at " if job["conversations"] else "at "
        return NextSteps([f"The bank is asked {again}{moment(at, now)}.", *after], at, acts)
    due = f"It is due since {moment(at, now)}: the next free worker asks the bank."
    held = list(door.holds_back(now))
    if now - at > LATE:
        acts = [LOOK, *acts]
    return NextSteps([due, *held, *after], at, acts)


def _doubt(job: Row) -> Iterator[str]:
    if job["state"] == State.IN_DOUBT:
        yield "The bank may have cancelled it already: it is asked again until it says so."
    elif job["doubted"]:
        yield "An earlier call may have cancelled it: a refusal of the bank is not believed."


def _wake(matter: JobContext) -> Iterator[Act]:
    """Yield what lets a resting partner take calls again."""
    door, name = matter.door, matter.door.name
    resume = f"kplus-cancel partners resume {typed(name)} {REASON}"
    if door.paused:
        if door.paused_by is None:
            yield Act(door.mend())
        yield Act("To let its calls begin again", resume)
    elif door.cools(matter.now) and matter.job["outcome"] is None:
        yield Act("If the bank is up, to call at once", resume)


def _teach(matter: JobContext) -> Iterator[Act]:
    if UNKNOWN_WORDS & matter.heard:
        what = "The bank used a word that is not in the dialect: to see it, and teach it"
        yield Act(what, "kplus-cancel dialect unknown")


def _without_inquiry(matter: JobContext) -> Iterator[Act]:
    if DUPLICATE in matter.heard and matter.door.inquires is False:
        yield Act(
            "The bank has seen this uid and says no more: only an inquiry tells what became of "
            "the token. Give the workers its address (KPLUS_INQUIRY_URL, or inquiry_url of "
            f"partner {matter.door.name})"
        )


def _limits(matter: JobContext) -> Iterator[str]:
    """Yield when it ends undecided, and as what."""
    job, now, at = matter.job, matter.now, matter.expiry
    if at is None and job["expires_at"] is not None:
        still = moment(job["still_payable_at"], now)
        yield f"Its stated expiry does not count: the bank called it payable at {still}."
    if matter.expired:
        last = "One last inquiry is made" if matter.door.inquires else PERHAPS_ASKED
        yield (
            f"The token expired at {moment(at, now)}. {last}; undecided, "
            f"it ends as {_undecided(matter)}."
        )
        return
    oldest = (job["requeued_at"] or job["created_at"]) + matter.limits.max_age
    if oldest <= now:
        end = f"it ends as {_undecided(matter)}"
        yield f"It is past its longest age since {moment(oldest, now)}: undecided next time, {end}."
        return
    ends = min(oldest, at) if at else oldest
    why = "the token's own expiry" if ends == at else "its longest age"
    if ends == at and matter.door.inquires:
        why += ", after one last inquiry"
    tries = _tries(matter)
    outcome = _undecided(matter, lapses=ends == at)
    yield f"Undecided, it ends as {outcome} at {moment(ends, now)}, {why}{tries}."


def _tries(matter: JobContext) -> str:
    if matter.job["state"] == State.IN_DOUBT and matter.door.inquires:
        return " (inquiries spend no attempt)"
    left = max(matter.limits.max_attempts - matter.job["attempts"], 0)
    return f", or after {left} more attempt{'' if left == 1 else 's'}"


def _undecided(matter: JobContext, *, lapses: bool = False) -> Outcome:
    if matter.job["doubted"]:
        return Outcome.UNKNOWN
    return Outcome.LAPSED if lapses or matter.expired else Outcome.GAVE_UP

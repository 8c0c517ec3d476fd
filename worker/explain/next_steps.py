"""What happens next to a job, when, and what a person can do. Pure: the time is an argument."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from worker.domain.bounds import later
from worker.domain.claims import ClaimKind
from worker.domain.judgement import UNKNOWN_WORDS
from worker.domain.states import Outcome, State
from worker.domain.wire import UNSENDABLE
from worker.explain import Row
from worker.explain.audit import drift_sentence
from worker.explain.job_context import JobContext
from worker.explain.meanings import TO_DO
from worker.explain.pauses import NO_CREDENTIALS, discard_command, resume_command
from worker.explain.text import counted, hint, moment, shown, typed

LATE = timedelta(minutes=1)
"""A job that is due for longer with nothing in its way: perhaps no worker runs."""
DUPLICATE = "duplicate"
REASON = "--reason WHY"
FINAL = "Nothing: this is final."


@dataclass(frozen=True, slots=True)
class Advice:
    """What a person can do about a job, and the command that does it, None if no command does."""

    what: str
    command: str | None = None


DOCTOR = "kplus-cancel doctor"
SEE_DOCTOR = Advice("If nothing changes, no worker runs. To see", DOCTOR)


@dataclass(frozen=True, slots=True)
class NextSteps:
    """
    What happens next, the most important sentence first, and what a person can do.

    `at` is when the job may go on by itself; None if it does not.
    """

    next: list[str]
    at: datetime | None = None
    advice: list[Advice] = field(default_factory=list)


def next_steps(context: JobContext) -> NextSteps:
    """Explain what follows for a job in any state."""
    steps = _by_state(context)
    others = [
        Advice("To compare it with the other job of its token", f"kplus-cancel why {typed(uid)}")
        for uid in map(shown, context.same_token[:1])
    ]
    return replace(steps, advice=[*steps.advice, *others])


def _by_state(context: JobContext) -> NextSteps:
    job = context.job
    if job["outcome"] is not None:
        return _final(context)
    if job["state"] == State.IN_FLIGHT:
        return _in_flight(context)
    if context.expired and context.partner.inquires is False:
        passed = moment(context.expiry, context.now)
        text = f"It is past its limits: the token expired at {passed}. The next sweep ends it"
        return NextSteps([f"{text} as {_undecided(context)}."], context.now, [SEE_DOCTOR])
    return _waiting(context)


def _final(context: JobContext) -> NextSteps:
    job, outcome = context.job, Outcome(context.job["outcome"])
    if job["continued_by"] is not None:
        new_uid = shown(job["continued_by"])
        follow = Advice("To follow the job that continues it", f"kplus-cancel why {typed(new_uid)}")
        return NextSteps([f"{FINAL} Job {new_uid} continues it: act on that one."], None, [follow])
    if context.drift is not None:
        return _drifted(context, context.drift)
    return NextSteps([f"{FINAL} {TO_DO[outcome]}"], None, list(_advice_at_end(context, outcome)))


def _drifted(context: JobContext, drift: Row) -> NextSteps:
    """Explain a final job whose end the bank has contradicted since."""
    uid = typed(shown(context.job["partner_txn_uid"]))
    doubted = (
        "The order system was told the outcome above: hold back what it does on it. "
        "Reopened, the job asks the bank again, and its new end is told with a higher number."
    )
    expires = _expires(context)
    return NextSteps(
        [f"Nothing by itself: this is final. {drift_sentence(drift, context.now)}", doubted],
        None,
        [
            *_resume_partner(context),
            Advice("To reopen it", f"kplus-cancel requeue {uid}{expires} {REASON}"),
            Advice(
                "If the bank only repeats its first answer to that uid, to cancel under another",
                f"kplus-cancel reissue {uid} --as NEWUID{expires} {REASON}",
            ),
            Advice("If nothing is left to do, to say so", f"kplus-cancel seen {uid} {REASON}"),
        ],
    )


def _expires(context: JobContext) -> str:
    """Return the option without which an expired token is not tried again."""
    return " --expires WHEN" if context.expired and not context.partner.inquires else ""


def _advice_at_end(context: JobContext, outcome: Outcome) -> Iterator[Advice]:
    job, uid = context.job, shown(context.job["partner_txn_uid"])
    if outcome not in {Outcome.REFUSED, Outcome.LAPSED, Outcome.GAVE_UP, Outcome.UNKNOWN}:
        return
    expires = _expires(context)
    requeue = f"kplus-cancel requeue {typed(uid)}{expires} {REASON}"
    reissue = f"kplus-cancel reissue {typed(uid)} --as NEWUID{expires} {REASON}"
    if UNSENDABLE in context.heard:
        yield Advice("If its uid alone cannot be sent, to cancel the token under another", reissue)
        return
    if outcome is Outcome.LAPSED:
        yield Advice("If that expiry was wrong, so that the token can still be paid", requeue)
        return
    if outcome is Outcome.UNKNOWN:
        yield Advice(
            "Look it up in the bank's portal, or ask the bank: "
            f"tokenId {shown(job['token_id'])}, reference1 {shown(job['reference1'])}, "
            f"partnerTxnUid {uid}"
        )
    yield from _teach_dialect(context)
    if outcome is Outcome.GAVE_UP:
        yield Advice("To see what is wrong now", DOCTOR)
    yield from _resume_partner(context)
    again = (
        "If the token can still be paid" if outcome is Outcome.UNKNOWN else "Once that is mended"
    )
    yield Advice(f"{again}, to cancel again under the same uid", requeue)
    if outcome is not Outcome.GAVE_UP:
        yield Advice("If the bank refuses that uid for ever, to cancel under another", reissue)


def _in_flight(context: JobContext) -> NextSteps:
    job, now = context.job, context.now
    ends = job["lease_ends_at"]
    if ends <= now:
        text = (
            f"Its worker fell silent: the lease ended {hint(ends, now)}. "
            "The next sweep of any worker puts it in doubt, and the bank is asked again."
        )
        return NextSteps([text], now, [SEE_DOCTOR])
    asks = (
        "asks the bank what became of the token" if job["lease_kind"] == ClaimKind.INQUIRY else ""
    )
    text = (
        f"A worker holds it and {asks or 'asks the bank now'}, "
        f"until {moment(ends, now)} at the latest. "
        "If no answer is stored by then, it goes into doubt and the bank is asked again."
    )
    first = context.partner.probe_sentence(job, now)
    return NextSteps([text, *([first] if first else [])], ends)


def _waiting(context: JobContext) -> NextSteps:
    """Explain what a job waits for: first its partner, then its own time."""
    job, partner, now = context.job, context.partner, context.now
    after = [*_doubt(job), *_limits(context)]
    advice = [*_resume_partner(context), *_teach_dialect(context), *_without_inquiry(context)]
    if partner.paused:
        return NextSteps([partner.pause_sentence(now), *after], None, advice)
    at = job["next_attempt_at"]
    if partner.is_cooling(now):
        at = max(at, partner.resume_at)
    opens = context.maintenance.closed_until(max(at, now))
    if opens is not None:
        until = f"The bank is in maintenance until {moment(opens, now)}"
        return NextSteps([f"{until}: nothing is asked before (KPLUS_MAINTENANCE).", *after], opens)
    if partner.is_cooling(now):
        because = f", after partner {partner.name} has cooled down ({partner.reason})"
        return NextSteps([f"The bank is asked {moment(at, now)}{because}.", *after], at, advice)
    if at > now:
        again = "again at " if context.was_asked else "at "
        return NextSteps([f"The bank is asked {again}{moment(at, now)}.", *after], at, advice)
    due = f"It is due since {moment(at, now)}: the next free worker asks the bank."
    delays = list(partner.delays(now))
    if now - at > LATE:
        advice = [SEE_DOCTOR, *advice]
    return NextSteps([due, *delays, *after], at, advice)


def _doubt(job: Row) -> Iterator[str]:
    if job["state"] == State.IN_DOUBT:
        yield "The bank may have cancelled it already: it is asked again until it says so."
    elif job["doubted"]:
        yield "An earlier call may have cancelled it: a refusal of the bank is not believed."


def _resume_partner(context: JobContext) -> Iterator[Advice]:
    """Yield how a resting partner takes calls again; `resume` only where it helps."""
    partner = context.partner
    resume = resume_command(partner.partner_id)
    if partner.paused and partner.paused_by is not None:
        yield Advice("To let its calls begin again", resume)
    elif partner.paused:
        yield Advice(partner.remedy())
        if partner.cause is NO_CREDENTIALS:
            discard = discard_command(partner.partner_id)
            yield Advice("If its name is mistyped, to end its jobs", discard)
        elif not partner.cause.resumes:
            yield Advice("Once that is mended, to let its calls begin again", resume)
    elif partner.is_cooling(context.now) and context.job["outcome"] is None:
        yield Advice("If the bank is up, to call at once", resume)


def _teach_dialect(context: JobContext) -> Iterator[Advice]:
    if UNKNOWN_WORDS & context.heard:
        what = "The bank used a word that is not in the dialect: to see it, and teach it"
        yield Advice(what, "kplus-cancel dialect unknown")


def _without_inquiry(context: JobContext) -> Iterator[Advice]:
    if DUPLICATE in context.heard and context.partner.inquires is False:
        yield Advice(
            "The bank only says that it knows this uid: an inquiry would say what became of "
            "the token. Give the workers its address (KPLUS_INQUIRY_URL, or inquiry_url of "
            f"partner {context.partner.name})"
        )


def _limits(context: JobContext) -> Iterator[str]:
    """Yield when the job ends if it stays undecided, and with which outcome."""
    job, now, at = context.job, context.now, context.expiry
    if at is None and job["expires_at"] is not None:
        still = moment(job["still_payable_at"], now)
        yield f"Its stated expiry does not count: the bank called it payable at {still}."
    since = job["requeued_at"] or job["created_at"]
    since = max(filter(None, (since, context.partner.resumed_at)))
    oldest = later(since, context.limits.max_age)
    if context.expired:
        yield f"The token expired at {moment(at, now)}. {_asked_after_expiry(context)}."
    if context.partner.paused and not (at and context.partner.inquires is False):
        yield "A pause ends no job: its age counts from the end of the pause."
        return
    if context.partner.paused:
        lapses = f"it ends as {_undecided(context, lapses=True)} at {moment(at, now)}"
        yield f"A pause ends no job, but the token's own expiry does: {lapses}."
        return
    if oldest <= now:
        end = f"it ends as {_undecided(context)}"
        yield f"It is past its longest age since {moment(oldest, now)}: undecided next time, {end}."
        return
    # Where the bank can be asked, the expiry ends nothing by itself.
    ends_at_expiry = at is not None and at < oldest and not context.partner.inquires
    if ends_at_expiry and context.expired:
        return
    ends = at if at is not None and ends_at_expiry else oldest
    limit = "the token's own expiry" if ends_at_expiry else "its longest age"
    outcome = _undecided(context, lapses=at is not None and at <= ends)
    attempts = _attempts_left(context)
    yield f"Undecided, it ends as {outcome} at {moment(ends, now)}, {limit}{attempts}."
    if at is not None and at < ends and not context.expired:
        yield f"From the token's own expiry on, at {moment(at, now)}, the bank is only asked."


def _asked_after_expiry(context: JobContext) -> str:
    asked = "the bank is asked until it speaks of the token"
    if context.partner.inquires:
        return asked.capitalize()
    undecided = f"else, and undecided, it ends as {_undecided(context)}"
    return f"Where a worker has an inquiry URL, {asked}; {undecided}"


def _attempts_left(context: JobContext) -> str:
    if context.job["state"] == State.IN_DOUBT and context.partner.inquires:
        return " (inquiries spend no attempt)"
    left = max(context.limits.max_attempts - context.job["attempts"], 0)
    return f", or after {counted(left, 'more attempt')}"


def _undecided(context: JobContext, *, lapses: bool = False) -> Outcome:
    if context.job["doubted"]:
        return Outcome.UNKNOWN
    return Outcome.LAPSED if lapses or context.expired else Outcome.GAVE_UP

"""The facts of a job and of its attempts, each as a name and a text. Pure."""

from collections.abc import Iterator
from datetime import datetime

from worker.domain.claims import ClaimKind
from worker.domain.partners import PartnerMode
from worker.domain.states import FINAL
from worker.explain import Row
from worker.explain.job_context import JobContext, Limits
from worker.explain.text import NEVER, counted, hint, moment, shown, span


def job_facts(context: JobContext) -> Iterator[tuple[str, str]]:
    """Yield what is stored of a job, in the order in which a person wants to know it."""
    job, now = context.job, context.now
    yield "partnerTxnUid", shown(job["partner_txn_uid"])
    yield "state", f"{job['state']}, {hint(job['updated_at'], now)}"
    yield "outcome", job["outcome"] or "none yet"
    yield "token status", _token_status(job)
    yield "bank's codes", bank_codes(job) or "none"
    yield "partner", ", ".join(filter(None, (shown(job["partner_id"]), rest(context.partner.row))))
    yield "tokenId", shown(job["token_id"])
    if context.same_token:
        yield "token also of", ", ".join(map(shown, context.same_token))
    yield "reference1", shown(job["reference1"])
    if job["continues"]:
        yield "continues", shown(job["continues"])
    if job["continued_by"]:
        yield "continued by", shown(job["continued_by"])
    yield "attempts", _attempts(job, context.limits)
    yield "accepted", moment(job["created_at"], now)
    if job["requeued_at"]:
        yield "requeued", moment(job["requeued_at"], now)
    if job["expires_at"]:
        yield "token expires", moment(job["expires_at"], now)
    if job["finished_at"]:
        yield "finished", moment(job["finished_at"], now)


def rest(partner: Row | None) -> str:
    """Return the mode and the reason of a partner that takes no calls; empty for any other."""
    if partner is None or partner["mode"] == PartnerMode.ACTIVE:
        return ""
    return f"{partner['mode']}: {shown(partner['reason'])}"


def bank_codes(row: Row) -> str:
    """Return the codes and the description that the bank gave; empty if it gave none."""
    named = (("statusCode", "status_code"), ("errorCode", "error_code"), ("", "error_desc"))
    given = [f"{title} {shown(row[key])}".strip() for title, key in named if row[key] is not None]
    return ", ".join(given)


def waits_for(job: Row, partner: Row | None, now: datetime) -> str:
    """Return what a job waits for, in a word or two: `in 12 s`, `due`, `partner paused`."""
    if job["state"] in FINAL:
        return NEVER
    if job["lease_ends_at"]:
        return "asking" if job["lease_ends_at"] > now else "lease over"
    if partner is not None and partner["mode"] == PartnerMode.PAUSED:
        return "partner paused"
    at = job["next_attempt_at"]
    if partner is not None and partner["mode"] == PartnerMode.COOLING:
        at = max(at, partner["resume_at"])
    return "due" if at <= now else f"in {span(at - now)}"


def attempt_lines(attempt: Row, uid: str) -> Iterator[str]:
    """Yield what the bank answered to an attempt and what was made of it, a line each."""
    if attempt["http_status"]:
        codes = bank_codes(attempt)
        yield f"HTTP {attempt['http_status']}" + (f", {codes}" if codes else "")
    yield shown(attempt["detail"])
    if not attempt["spent"] and attempt["kind"] == ClaimKind.CANCEL:
        yield "not counted as an attempt"
    if attempt["wire_uid"] != uid:
        yield f"sent as {shown(attempt['wire_uid'])}"
    more = conversations(attempt) - 1
    if more:
        since = shown(min(attempt["folded_minutes"] or (), default=None))
        yield f"and {counted(more, 'conversation')} before it that ended alike, since {since}"


def conversations(attempt: Row) -> int:
    """Return how many conversations an attempt row stands for: itself, and those folded into it."""
    return 1 + int(attempt.get("folded") or 0)


def token_of_entry(entry: Row, job: Row) -> str:
    """Return the token that an entry names, marked if it is not the job's."""
    ours = entry["token_id"] == job["token_id"]
    return shown(entry["token_id"]) + ("" if ours else " (not this job's token)")


def _token_status(job: Row) -> str:
    if job["token_status"] is None:
        return "none sent by the bank"
    return f"{shown(job['token_status'])} (the bank's own word, sent last)"


def _attempts(job: Row, limits: Limits) -> str:
    asked = job["conversations"]
    text = f"{job['attempts']} of {limits.max_attempts} spent"
    return text if asked == job["attempts"] else f"{text}; {counted(asked, 'call')} begun in all"

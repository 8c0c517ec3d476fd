"""What an audit found, in sentences. Pure."""

from datetime import datetime

from worker.explain import Row
from worker.explain.text import moment, shown
from worker.store.operators.audits import AuditVerdict

VERDICTS = {
    AuditVerdict.AGREES: "the bank says the same",
    AuditVerdict.DRIFTS: "the bank says otherwise: look into each, and reopen it",
    AuditVerdict.UNHEARD: "no answer that settles it",
}
"""What each verdict means."""
REOPEN = "kplus-cancel requeue --drifted --reason WHY"
"""What lets the jobs that drifted try again."""


def audit_line(uid: str, *, held: str, token_status: str | None, detail: str) -> str:
    """Return what one audit found: what we hold, and what the bank answered."""
    status = f", token status {shown(token_status)}" if token_status else ""
    return f"{shown(uid)}: held {held}{status}: {shown(detail)}"


def drift_sentence(audit: Row, now: datetime) -> str:
    """Return which audit contradicts the end of a job, and what the bank said in it."""
    said = shown(audit["token_status"] or audit["heard"])
    at = moment(audit["finished_at"], now)
    return f"An audit contradicts this end: the bank said {said} at {at}."

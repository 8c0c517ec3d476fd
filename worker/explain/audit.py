"""What an audit found, in sentences. Pure."""

from worker.explain.text import shown
from worker.store.operators.audits import AuditVerdict

VERDICTS = {
    AuditVerdict.AGREES: "the bank says the same",
    AuditVerdict.DRIFTS: "the bank says otherwise: look into each",
    AuditVerdict.UNHEARD: "no answer that settles it",
}
"""What each verdict means."""


def audit_line(uid: str, *, held: str, token_status: str | None, detail: str) -> str:
    """Return what one audit found: what we hold, and what the bank answered."""
    status = f", token status {shown(token_status)}" if token_status else ""
    return f"{shown(uid)}: held {held}{status}: {shown(detail)}"

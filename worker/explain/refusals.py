"""Why an act on a job is refused, in a sentence. Pure."""

from worker.explain.text import clock, shown, typed
from worker.store import RequeueResult, Verdict


def refusal(ruling: RequeueResult, heir: str = "") -> str:
    """Return why a job was not requeued, nor continued under the uid `heir`."""
    job = ruling.job or {}
    uid, expires_at = typed(shown(ruling.uid)), job.get("expires_at")
    expired = f"its token expired at {clock(expires_at)} UTC" if expires_at else "its token expired"
    return {
        Verdict.NOT_FOUND: f"no job is stored under {ruling.uid!r}",
        Verdict.PRUNED: f"it was pruned, and its token with it: see `kplus-cancel why {uid}`",
        Verdict.NOT_FINAL: f"it is not final ({job.get('state')}): see `kplus-cancel why {uid}`",
        Verdict.SUCCEEDED: f"it succeeded ({job.get('outcome')}): nothing is left to do",
        Verdict.PAID: "the customer has paid: a refund is due, not a cancel",
        Verdict.CONTINUED: (
            f"{shown(job.get('continued_by'))} continues it: "
            f"see `kplus-cancel why {typed(shown(job.get('continued_by')))}`"
        ),
        Verdict.EXPIRED: (
            f"{expired}, and no inquiry URL is configured here for partner "
            f"{shown(job.get('partner_id'))}, so the bank cannot be asked about it; "
            "if that expiry is wrong, give --expires WHEN or --expires never"
        ),
        Verdict.UID_TAKEN: f"another job is stored under {heir!r}: choose another --as",
    }[ruling.verdict]

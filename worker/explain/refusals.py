"""What came of letting final jobs try again, and why a job is refused, in sentences. Pure."""

from collections import Counter
from dataclasses import dataclass, field

from worker.explain.text import clock, jobs, shown, typed
from worker.store import RequeueResult, Verdict

MOST_FIRST = 100
REOPENED = "reopened, because an audit contradicts its end"


@dataclass(slots=True)
class RequeueSummary:
    """
    How many jobs were requeued, which were refused and why, and the first uids of the former.

    `reopened` counts those of the requeued that had their end, which an audit contradicts.
    """

    requeued: int = 0
    reopened: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)
    first: list[str] = field(default_factory=list)

    def add(self, result: RequeueResult) -> None:
        """Count one job."""
        if result.verdict is not Verdict.DONE:
            row = {"partner_txn_uid": result.uid, "verdict": str(result.verdict)}
            self.refused.append({**row, "why": refusal(result)})
            return
        self.requeued += 1
        self.reopened += result.reopens
        if len(self.first) < MOST_FIRST:
            self.first.append(result.uid)

    def sentence(self, *, dry_run: bool, named: bool) -> str:
        """Return what was done, or would be; one job that was `named` is named again."""
        would = "would be " if dry_run else ""
        if named and self.requeued == 1 and not self.refused:
            uid = shown(self.first[0])
            why = f" It {would or 'is '}{REOPENED}." if self.reopened else ""
            done = "would wait for its turn again" if dry_run else "waits for its turn again"
            follow = "" if dry_run else f" To follow it: kplus-cancel why {typed(uid)}"
            return f"{uid} {done}.{why}{follow}"
        refused = f", {jobs(len(self.refused))} {would}refused" if self.refused else ""
        reopened = f" ({self.reopened} {would}{REOPENED})" if self.reopened else ""
        return f"{jobs(self.requeued)} {would}requeued{reopened}{refused}."


@dataclass(slots=True)
class ActionSummary:
    """How many jobs an action was done to, by outcome, and which were refused and why."""

    done: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, str]] = field(default_factory=list)

    def add(self, result: RequeueResult) -> None:
        """Count one job; one to which the same was done before counts as neither."""
        if result.verdict is Verdict.DONE:
            self.done[str((result.job or {}).get("outcome"))] += 1
        elif result.verdict is not Verdict.DONE_BEFORE:
            row = {"partner_txn_uid": result.uid, "verdict": str(result.verdict)}
            self.refused.append({**row, "why": refusal(result)})

    def sentence(self, done: str, *, dry_run: bool) -> str:
        """Return to how many jobs it was `done`, or would be, and with which outcomes."""
        would = "would be " if dry_run else ""
        counts = ", ".join(f"{outcome} {count}" for outcome, count in sorted(self.done.items()))
        outcomes = f": {counts}" if counts else ""
        refused = f"; {jobs(len(self.refused))} {would}refused" if self.refused else ""
        return f"{jobs(self.done.total())} {would}{done}{outcomes}{refused}."


def refusal(result: RequeueResult, new_uid: str = "") -> str:
    """Return why nothing was done to a job, nor another stored under `new_uid`."""
    job = result.job or {}
    uid, expires_at = typed(shown(result.uid)), job.get("expires_at")
    expired = f"its token expired at {clock(expires_at)} UTC" if expires_at else "its token expired"
    return {
        Verdict.NOT_FOUND: f"no job is stored under {result.uid!r}",
        Verdict.PRUNED: f"it was pruned, and its token with it: see `kplus-cancel why {uid}`",
        Verdict.NOT_FINAL: f"it is not final ({job.get('state')}): see `kplus-cancel why {uid}`",
        Verdict.FINAL: f"it is final already ({job.get('state')}, outcome {job.get('outcome')})",
        Verdict.IN_FLIGHT: "a worker asks the bank about it now: wait for that call, and try again",
        Verdict.NOTHING_TO_SEE: (
            f"its outcome {job.get('outcome')} needs nobody: there is nothing to mark as seen"
        ),
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
        Verdict.UNSENDABLE: (
            "no request can carry what it names; if that is its uid alone, "
            f"`kplus-cancel reissue {uid} --as NEWUID` cancels the token under another"
        ),
        Verdict.UID_TAKEN: f"another job is stored under {new_uid!r}: choose another --as",
    }[result.verdict]

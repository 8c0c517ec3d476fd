"""What happened to a job so far, condensed to a few sentences. Pure: the time is an argument."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from worker.domain.claims import ClaimKind
from worker.domain.heard import NOTHING_SENT
from worker.domain.states import Event, Outcome, State
from worker.explain import Row
from worker.explain.facts import conversations
from worker.explain.meanings import ENDS, STANDS
from worker.explain.text import clock, counted, ended, moment, shown, times

CAME_TO = {
    Event.DOUBT: "ended in doubt",
    Event.RETRY: "had no effect",
    Event.SUCCEED: "succeeded",
    Event.REFUSE: "ended in a refusal",
    Event.EXHAUST: "was the last within the limits",
}
"""How an attempt ended, by the event that it was judged to be."""
DONE = {
    "requeue": "Requeued",
    "reopen": "Reopened, because an audit contradicted its end,",
    "reissue": "Reissued",
    "discard": "Discarded",
    "seen": "Seen",
    "end": "Ended",
    "set_right": "Set right",
}
"""What was done to a job, as it begins a sentence."""
REJUDGE = "rejudge"


def stands(job: Row, now: datetime) -> str:
    """Return where a job stands, since when, and what that means."""
    at = moment(job["finished_at"] or job["updated_at"], now)
    if job["outcome"] is not None:
        ends = ENDS[Outcome(job["outcome"])]
        return f"{job['state']}, outcome {job['outcome']}, since {at}. {ends}"
    state = State(job["state"])
    meaning = STANDS[state]
    if state is State.PENDING and job["requeued_at"] is not None:
        meaning = "requeued by an operator, the bank has not been asked since"
    return f"{state} since {at}: {meaning}."


def happened(
    job: Row, attempts: Sequence[Row], actions: Sequence[Row], now: datetime
) -> Iterator[str]:
    """Yield what happened to a job, oldest first; `actions` are those of operators on it."""
    yield f"Accepted at {moment(job['created_at'], now)}{_link(job['continues'])}."
    ordered = sorted(actions, key=lambda each: (each["at"], each["id"]))
    yield from (_action(each, now) for each in ordered if each["action"] != REJUDGE)
    if not attempts:
        first = job["state"] == State.IN_FLIGHT
        yield "No call has ended yet." if first else "The bank has not been asked yet."
        return
    yield _asked(job, attempts)
    yield from _by_decision(attempts)
    yield _last(attempts[-1], now)
    if job["token_status"] is not None:
        yield f"The token's status, as the bank sent it last: {shown(job['token_status'])}."
    yield from (_rejudged(each, now) for each in ordered if each["action"] == REJUDGE)


def names_the_token(other: Row) -> str:
    """Return that another job names the same token."""
    uid, end = shown(other["partner_txn_uid"]), f", {other['outcome']}" if other["outcome"] else ""
    return (
        f"Job {uid} ({other['state']}{end}, reference1 {shown(other['reference1'])}) names the same"
        " token: one of the two orders may name a wrong one."
    )


def _link(continues: str | None) -> str:
    return f", to continue {shown(continues)}" if continues else ""


def _action(action: Row, now: datetime) -> str:
    done = DONE.get(action["action"], action["action"])
    new_uid = action["after"].get("continued_by") if action["action"] == "reissue" else None
    as_new = f" as {shown(new_uid)}" if new_uid else ""
    return _signed(f"{done}{as_new}", action, now, text="")


def _rejudged(action: Row, now: datetime) -> str:
    """Return how a stored answer was judged again: only that ended the job."""
    then, today = _heard(action["before"]), _heard(action["after"])
    heard = then if then == today else f"{then}, understood now as {today}"
    where = f", conversation {action['after']['conversation']}: {heard}"
    return _signed("Judged again", action, now, text=where)


def _signed(done: str, action: Row, now: datetime, *, text: str) -> str:
    signed = f"{done} by {shown(action['who'])} at {moment(action['at'], now)}"
    return ended(f"{signed}{text}: {shown(action['reason'])}")


def _asked(job: Row, attempts: Sequence[Row]) -> str:
    """
    Return how often the bank was asked: `7 times from … to …, 1 of them an inquiry`.

    A call that ended before anything was sent asked nobody; it is counted apart.
    """
    asked = [row for row in attempts if _was_sent(row)]
    count = sum(map(conversations, asked))
    tried = sum(map(conversations, attempts)) - count
    unsent = f"{counted(tried, 'more call')} ended before anything was sent" if tried else ""
    if not asked:
        calls = f"{counted(tried, 'call')} ended before that"
        return f"Nothing was sent to the bank: {calls}{_when(attempts)}."
    text = f"The bank was asked {times(count)}{_when(asked)}"
    inquiries = sum(conversations(row) for row in asked if row["kind"] == ClaimKind.INQUIRY)
    if inquiries:
        text += f", {_share(inquiries, count)} to learn what became of the token"
    requeued = job["requeued_at"]
    if requeued is not None:
        since = sum(conversations(row) for row in asked if row["started_at"] >= requeued)
        text += f", {times(since) if since else 'not yet'} since it was requeued"
    return f"{text}; {unsent}." if unsent else f"{text}."


def _when(attempts: Sequence[Row]) -> str:
    first, last = clock(attempts[0]["started_at"]), clock(attempts[-1]["started_at"])
    return f" at {first} UTC" if first == last else f", from {first} to {last} UTC"


def _was_sent(row: Row) -> bool:
    return row["heard"] not in NOTHING_SENT


def _by_decision(attempts: Sequence[Row]) -> Iterator[str]:
    """Yield how the attempts ended, the most frequent first."""
    if len(attempts) == 1:
        return
    events = _counts((row["decision"], row) for row in attempts)
    for event, count in events.most_common():
        heard = _counts((_heard(row), row) for row in attempts if row["decision"] == event)
        listed = ", ".join(
            word if len(heard) == 1 else f"{word} ({often})" for word, often in heard.most_common()
        )
        unspent = sum(
            conversations(row)
            for row in attempts
            if row["decision"] == event and row["kind"] == ClaimKind.CANCEL and not row["spent"]
        )
        uncounted = f"; {unspent} not counted as an attempt" if unspent else ""
        yield f"{count} {CAME_TO[Event(event)]}: {listed}{uncounted}."


def _counts(rows: Iterable[tuple[str, Row]]) -> Counter[str]:
    """Count the conversations of each word, those that were folded into a row included."""
    found: Counter[str] = Counter()
    for word, row in rows:
        found[word] += conversations(row)
    return found


def _last(row: Row, now: datetime) -> str:
    http = f" (HTTP {row['http_status']})" if row["http_status"] else ""
    at = moment(row["finished_at"], now)
    what = "Last heard" if _was_sent(row) else "Last tried"
    return ended(f"{what} at {at}: {_heard(row)}{http}: {shown(row['detail'])}")


def _heard(row: Row) -> str:
    return shown(row["heard"]).replace("_", " ")


def _share(part: int, whole: int) -> str:
    return "only" if part == whole else f"{part} of them"

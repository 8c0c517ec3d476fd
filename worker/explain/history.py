"""What happened to a job so far, condensed to a few sentences. Pure: the time is an argument."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from worker.domain.claims import ClaimKind
from worker.domain.states import Event, Outcome, State
from worker.explain.meanings import ENDS, STANDS
from worker.explain.text import clock, ended, moment, shown

Row = Mapping[str, Any]

CAME_TO = {
    Event.DOUBT: "ended in doubt",
    Event.RETRY: "had no effect",
    Event.SUCCEED: "succeeded",
    Event.REFUSE: "ended in a refusal",
    Event.EXHAUST: "was the last within the limits",
}
"""What a conversation came to, by the event that it was judged to be."""
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
    job: Row, attempts: Sequence[Row], acts: Sequence[Row], now: datetime
) -> Iterator[str]:
    """Yield the story of a job, oldest first; `acts` are those of operators on it."""
    yield f"Accepted at {moment(job['created_at'], now)}{_link(job['continues'])}."
    ordered = sorted(acts, key=lambda act: (act["at"], act["id"]))
    yield from (_act(act, now) for act in ordered if act["action"] != REJUDGE)
    if not attempts:
        first = job["state"] == State.IN_FLIGHT
        yield "No call has ended yet." if first else "The bank has not been asked yet."
        return
    yield _asked(job, attempts)
    yield from _by_end(attempts)
    yield _last(attempts[-1], now)
    if job["token_status"] is not None:
        yield f"The token's status, heard last from the bank: {shown(job['token_status'])}."
    yield from (_rejudged(act, now) for act in ordered if act["action"] == REJUDGE)


def _link(continues: str | None) -> str:
    return f", to continue {shown(continues)}" if continues else ""


def _act(act: Row, now: datetime) -> str:
    done = {"requeue": "Requeued", "reissue": "Reissued"}.get(act["action"], act["action"])
    heir = act["after"].get("continued_by") if act["action"] == "reissue" else None
    as_heir = f" as {shown(heir)}" if heir else ""
    told = f"{done}{as_heir} by {shown(act['who'])} at {moment(act['at'], now)}"
    return ended(f"{told}: {shown(act['reason'])}")


def _rejudged(act: Row, now: datetime) -> str:
    """Return what an answer came to when it was judged again: only that ended the job."""
    then, now_heard = _word(act["before"]), _word(act["after"])
    heard = then if then == now_heard else f"{then}, understood now as {now_heard}"
    told = f"Judged again by {shown(act['who'])} at {moment(act['at'], now)}"
    where = f"conversation {act['after']['conversation']}"
    return ended(f"{told}, {where}: {heard}: {shown(act['reason'])}")


def _asked(job: Row, attempts: Sequence[Row]) -> str:
    """Return how often the bank was asked: `7 times from … to …, 1 of them an inquiry`."""
    count = len(attempts)
    inquiries = sum(row["kind"] == ClaimKind.INQUIRY for row in attempts)
    first, last = clock(attempts[0]["started_at"]), clock(attempts[-1]["started_at"])
    text = f"The bank was asked {_times(count)}"
    text += f" at {first} UTC" if first == last else f", from {first} to {last} UTC"
    if inquiries:
        text += f", {_share(inquiries, count)} to learn what became of the token"
    requeued = job["requeued_at"]
    if requeued is not None:
        since = sum(row["started_at"] >= requeued for row in attempts)
        text += f", {_times(since) if since else 'not yet'} since it was requeued"
    return f"{text}."


def _by_end(attempts: Sequence[Row]) -> Iterator[str]:
    """Yield what the conversations came to, the most frequent first."""
    if len(attempts) == 1:
        return
    events = Counter(row["decision"] for row in attempts)
    for event, count in events.most_common():
        words = Counter(_word(row) for row in attempts if row["decision"] == event)
        told = ", ".join(
            word if len(words) == 1 else f"{word} ({times})" for word, times in words.most_common()
        )
        free = sum(
            row["decision"] == event and row["kind"] == ClaimKind.CANCEL and not row["spent"]
            for row in attempts
        )
        kept = f"; {free} not counted as an attempt" if free else ""
        yield f"{count} {CAME_TO[Event(event)]}: {told}{kept}."


def _last(row: Row, now: datetime) -> str:
    http = f" (HTTP {row['http_status']})" if row["http_status"] else ""
    at = moment(row["finished_at"], now)
    return ended(f"Last heard at {at}: {_word(row)}{http}: {shown(row['detail'])}")


def _word(row: Row) -> str:
    return shown(row["heard"]).replace("_", " ")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _share(part: int, whole: int) -> str:
    return "only" if part == whole else f"{part} of them"

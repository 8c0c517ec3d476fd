"""What a dialect would make of the answers that are stored: counted job by job. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from worker.domain.dialect import Dialect
from worker.domain.kplus import SUCCESS
from worker.domain.rejudgement import Conclusion, Conversation, Rejudgement, conclude, rejudge
from worker.domain.states import State
from worker.explain.text import jobs, shown, typed
from worker.store import JobConversations

CODE = "error code"
STATUS = "token status"
Counts = Counter[tuple[str, str]]
"""How many jobs, by outcome and partner."""


@dataclass(frozen=True, slots=True)
class Change:
    """A word of the bank's that is judged otherwise than it was."""

    kind: str
    word: str | None
    short_code: str | None
    then: str
    now: str


@dataclass(slots=True)
class Extent:
    """How many answers and jobs a change is about, and one job of them, in doubt if any is."""

    answers: int = 0
    jobs: int = 0
    in_doubt: int = 0
    example: str = ""


@dataclass(slots=True)
class Contradictions:
    """How many jobs in doubt have answers that contradict each other, and one of them."""

    jobs: int = 0
    example: str | None = None

    def add(self, uid: str) -> None:
        """Count one."""
        self.jobs += 1
        self.example = self.example or uid


@dataclass(slots=True)
class Forecast:
    """
    What a dialect would change.

    `judged_again` of the `answers` are; of the others too little is stored. `ends` counts the
    jobs in doubt that would end.
    """

    answers: int = 0
    judged_again: int = 0
    changes: dict[Change, Extent] = field(default_factory=dict)
    ends: Counts = field(default_factory=Counter)
    contradictions: Contradictions = field(default_factory=Contradictions)

    def add(self, told: JobConversations, dialect: Dialect) -> None:
        """Count one job."""
        readings = [rejudge(each, dialect) for each in told.conversations]
        self.answers += len(readings)
        self.judged_again += sum(reading.rejudged for reading in readings)
        changes = Counter(map(_change, readings))
        del changes[None]
        for change, answers in changes.items():
            if change is not None:
                self._note(change, answers, told)
        if told.state is State.IN_DOUBT:
            self.conclude(told, conclude(readings))

    def conclude(self, told: JobConversations, found: Conclusion) -> None:
        """Count what the answers of a job in doubt say together."""
        if found.outcome is not None:
            self.ends[str(found.outcome), told.partner_id] += 1
        elif found.by is not None:
            self.contradictions.add(told.uid)

    def rows(self) -> list[dict[str, Any]]:
        """Return the changes, the one that is about most answers first."""
        ordered = sorted(self.changes.items(), key=lambda item: -item[1].answers)
        names = ("kind", "word", "short_code", "then", "now")
        counted = ("answers", "jobs", "in_doubt", "example")
        return [
            {name: getattr(change, name) for name in names}
            | {name: getattr(extent, name) for name in counted}
            for change, extent in ordered
        ]

    def _note(self, change: Change, answers: int, told: JobConversations) -> None:
        extent = self.changes.setdefault(change, Extent())
        doubtful = told.state is State.IN_DOUBT
        if not extent.example or (doubtful and not extent.in_doubt):
            extent.example = told.uid
        extent.answers += answers
        extent.jobs += 1
        extent.in_doubt += doubtful


def _change(reading: Rejudgement) -> Change | None:
    if reading.heard == reading.conversation.heard:
        return None
    return Change(*_word(reading.conversation), then=reading.conversation.heard, now=reading.heard)


def _word(of: Conversation) -> tuple[str, str | None, str | None]:
    """Return which word of the bank's an answer was judged by."""
    if of.status_code != SUCCESS:
        return CODE, of.error_code, of.short_code or None
    ours = [status for token_id, status in of.tokens if token_id == of.request.token_id and status]
    return STATUS, ", ".join(ours) or None, of.short_code or None


def stays(contradictions: Contradictions) -> Iterator[str]:
    """Yield a sentence about jobs whose answers contradict each other, if there are any."""
    if contradictions.jobs:
        example = typed(shown(contradictions.example))
        count = contradictions.jobs
        whose = "its answers contradict" if count == 1 else "their answers contradict"
        verb = "stays" if count == 1 else "stay"
        yield f"{jobs(count)} {verb} in doubt, for {whose} each other: kplus-cancel show {example}"

"""What a dialect would change in the judgement of stored answers, counted job by job. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from worker.domain.dialect import Dialect
from worker.domain.kplus import SUCCESS
from worker.domain.rejudgement import Conclusion, Conversation, Rejudgement, conclude, rejudge
from worker.domain.states import State
from worker.explain.text import counted, jobs, shown, typed
from worker.store import JobConversations

CODE = "error code"
STATUS = "token status"
Counts = Counter[tuple[str, str]]
"""How many jobs, by outcome and partner."""


@dataclass(frozen=True, slots=True)
class Change:
    """A word of the bank that would be judged otherwise than it was."""

    kind: str
    word: str | None
    short_code: str | None
    then: str
    now: str


@dataclass(slots=True)
class ChangeCounts:
    """How many answers and jobs a change concerns, and one of the jobs, in doubt if any is."""

    answers: int = 0
    jobs: int = 0
    in_doubt: int = 0
    example: str = ""


@dataclass(slots=True)
class ContradictionCounts:
    """How many jobs in doubt have answers that contradict each other, and one of the jobs."""

    jobs: int = 0
    example: str | None = None

    def add(self, uid: str) -> None:
        """Count one job."""
        self.jobs += 1
        self.example = self.example or uid


@dataclass(slots=True)
class Forecast:
    """
    What a dialect would change.

    Of the `answers`, `judged_again` were; of the others too little is stored. `ends` counts the
    jobs in doubt that would end.
    """

    answers: int = 0
    judged_again: int = 0
    changes: dict[Change, ChangeCounts] = field(default_factory=dict)
    ends: Counts = field(default_factory=Counter)
    contradictions: ContradictionCounts = field(default_factory=ContradictionCounts)

    def add(self, job: JobConversations, dialect: Dialect) -> None:
        """Count one job."""
        readings = [rejudge(each, dialect) for each in job.conversations]
        self.answers += len(readings)
        self.judged_again += sum(reading.rejudged for reading in readings)
        changes = Counter(map(_change, readings))
        del changes[None]
        for change, answers in changes.items():
            if change is not None:
                self._count(change, answers, job)
        if job.state is State.IN_DOUBT:
            self.conclude(job, conclude(readings))

    def conclude(self, job: JobConversations, conclusion: Conclusion) -> None:
        """Count what all answers of a job in doubt come to."""
        if conclusion.outcome is not None:
            self.ends[str(conclusion.outcome), job.partner_id] += 1
        elif conclusion.by is not None:
            self.contradictions.add(job.uid)

    def rows(self) -> list[dict[str, Any]]:
        """Return the changes, the one that concerns most answers first."""
        ordered = sorted(self.changes.items(), key=lambda item: -item[1].answers)
        names = ("kind", "word", "short_code", "then", "now")
        counts = ("answers", "jobs", "in_doubt", "example")
        return [
            {name: getattr(change, name) for name in names}
            | {name: getattr(found, name) for name in counts}
            for change, found in ordered
        ]

    def summary(self) -> Iterator[str]:
        """Yield the sentences below the table of changes."""
        yield _judged(self)
        ends: Counter[str] = Counter()
        for (outcome, _), count in self.ends.items():
            ends[outcome] += count
        listed = ", ".join(f"{outcome} {count}" for outcome, count in ends.most_common())
        end = f"end {jobs(ends.total())} in doubt: {listed}" if ends else "end no job"
        yield f"`kplus-cancel dialect apply` would {end}."
        yield from self.contradicting()

    def applied(self, ended: int, *, dry_run: bool) -> Iterator[str]:
        """Yield what came of the jobs that were counted: `ended` of them ended, or would."""
        total = self.ends.total()
        if total:
            moved_on = f"; {jobs(total - ended)} had moved on meanwhile" if ended < total else ""
            yield f"{jobs(ended)} {'would end' if dry_run else 'ended'}{moved_on}."
        yield from self.contradicting()

    def contradicting(self) -> Iterator[str]:
        """Yield a sentence about jobs whose answers contradict each other, if there are any."""
        if self.contradictions.jobs:
            example = typed(shown(self.contradictions.example))
            count = self.contradictions.jobs
            whose = "its answers contradict" if count == 1 else "their answers contradict"
            verb = "stays" if count == 1 else "stay"
            stays = f"{jobs(count)} {verb} in doubt, for {whose} each other"
            yield f"{stays}: kplus-cancel show {example}"

    def _count(self, change: Change, answers: int, job: JobConversations) -> None:
        found = self.changes.setdefault(change, ChangeCounts())
        in_doubt = job.state is State.IN_DOUBT
        if not found.example or (in_doubt and not found.in_doubt):
            found.example = job.uid
        found.answers += answers
        found.jobs += 1
        found.in_doubt += in_doubt


def word_with_code(word: str | None, short_code: str | None) -> str:
    """Return a word of the bank as a person reads it, with its short code."""
    named = "(none sent)" if word is None else shown(word)
    return f"{named} ({short_code})" if short_code else named


def count_rows(counts: Counts) -> list[dict[str, Any]]:
    """Return counts by outcome and partner as JSON has them."""
    return [
        {"outcome": outcome, "partner_id": partner, "jobs": count}
        for (outcome, partner), count in sorted(counts.items())
    ]


def _change(reading: Rejudgement) -> Change | None:
    if reading.heard == reading.conversation.heard:
        return None
    return Change(*_word(reading.conversation), then=reading.conversation.heard, now=reading.heard)


def _word(of: Conversation) -> tuple[str, str | None, str | None]:
    """Return the word of the bank by which an answer was judged."""
    if of.status_code != SUCCESS:
        return CODE, of.error_code, of.short_code or None
    ours = [status for token_id, status in of.tokens if token_id == of.request.token_id and status]
    return STATUS, ", ".join(ours) or None, of.short_code or None


def _judged(forecast: Forecast) -> str:
    again, left = forecast.judged_again, forecast.answers - forecast.judged_again
    answers = f"{counted(again, 'stored answer')} {'was' if again == 1 else 'were'} judged again"
    verb = "keeps its judgement" if left == 1 else "keep theirs"
    kept = f"; {left} more {verb}, for too little is stored" if left else ""
    unchanged = "" if forecast.changes else "Nothing would be judged otherwise. "
    return f"{unchanged}{answers}{kept}."

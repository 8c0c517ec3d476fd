"""What an operator may narrow jobs by: one filter for lists, exports and acts on many jobs."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FunctionElement, String, exists, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from worker.domain.states import OUTCOMES, Outcome, State
from worker.store.reports.drift import drifted_uids, has_drifted
from worker.store.reports.seen import is_unseen
from worker.store.schema.tables import JOBS, cancel_attempts

ATTEMPTS = cancel_attempts.c
SEARCHED = (JOBS.partner_txn_uid, JOBS.token_id, JOBS.reference1, JOBS.error_desc)
"""The columns in which `text` is looked for."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """
    Which jobs: every field that is set narrows them further, None narrows nothing.

    `code` is a status code, an error code or a short code of the bank, or the word for what was
    heard (`read_timeout`), of any attempt. `changed_since` is the first time that counts,
    `changed_before` the first that does not. `text` stands anywhere in the uid, the token's id,
    the reference or the bank's description; the case of A to Z does not count. `same_token`: the
    job named a token of another job when it was claimed. `unseen`: a person has to see its end,
    and nobody has. `drifted`: an audit contradicts its end.
    """

    state: State | None = None
    outcome: Outcome | None = None
    partner_id: str | None = None
    code: str | None = None
    changed_since: datetime | None = None
    changed_before: datetime | None = None
    text: str | None = None
    same_token: bool = False
    unseen: bool = False
    drifted: bool = False

    @property
    def states(self) -> frozenset[State]:
        """The states that a job of this filter can have."""
        possible = frozenset(State) if self.state is None else frozenset({self.state})
        if self.outcome is None:
            return possible
        return frozenset(each for each in possible if self.outcome in OUTCOMES.get(each, ()))

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """
        Yield the conditions on a row of `cancel_jobs`.

        The index over state and time of change serves them wherever they name a state, an
        outcome or a time.
        """
        timed = self.changed_since is not None or self.changed_before is not None
        if timed or self.states != frozenset(State):
            yield JOBS.state.in_(sorted(self.states))
        if self.outcome is not None:
            yield JOBS.outcome == self.outcome
        if self.partner_id is not None:
            yield JOBS.partner_id == self.partner_id
        if self.changed_since is not None:
            yield JOBS.updated_at >= self.changed_since
        if self.changed_before is not None:
            yield JOBS.updated_at < self.changed_before
        if self.code is not None:
            yield _has_attempt_with(self.code)
        if self.text is not None:
            yield _contains(self.text)
        yield from self._marks()

    def _marks(self) -> Iterator[ColumnElement[bool]]:
        if self.same_token:
            yield JOBS.same_token
        if self.unseen:
            yield is_unseen()
        if self.drifted:
            # As a list of the few: one lookup for each job would read the whole table.
            yield JOBS.partner_txn_uid.in_(drifted_uids())
            yield has_drifted()


EVERY_JOB = JobFilter()
"""The filter that narrows nothing."""


def _has_attempt_with(code: str) -> ColumnElement[bool]:
    columns = ATTEMPTS.status_code, ATTEMPTS.error_code, ATTEMPTS.short_code, ATTEMPTS.heard
    return exists().where(
        ATTEMPTS.partner_txn_uid == JOBS.partner_txn_uid,
        or_(*(column == code for column in columns)),
    )


def _contains(text: str) -> ColumnElement[bool]:
    # `autoescape`: % and _ in what an operator types stand for themselves.
    lowered = text.translate(_LOWER)
    return or_(*(AsciiLower(each).contains(lowered, autoescape=True) for each in SEARCHED))


_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


class AsciiLower(FunctionElement[str]):
    """A text with A to Z in lower case and all else as it is: alike on both databases."""

    type = String()
    inherit_cache = True


@compiles(AsciiLower)
def _ascii_lower(element: AsciiLower, compiler: SQLCompiler, **kw: Any) -> str:
    return f"lower({compiler.process(element.clauses, **kw)})"


@compiles(AsciiLower, "postgresql")
def _ascii_lower_on_postgresql(element: AsciiLower, compiler: SQLCompiler, **kw: Any) -> str:
    return f'lower({compiler.process(element.clauses, **kw)} COLLATE "C")'

"""
How a stored answer would be judged now, and how all stored answers of a job end it.

Pure. The whole answer is not stored: if the stored part could be judged differently from the
answer itself, the first judgement is kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from worker.domain.answer import Answer
from worker.domain.dialect import Dialect
from worker.domain.judgement import PAYABLE, judge
from worker.domain.kplus import (
    MAX_TEXT_LENGTH,
    SUCCESS,
    CancelRequest,
    Envelope,
    TokenEntry,
    read_short_code,
)
from worker.domain.states import Outcome
from worker.telemetry.redaction import REDACTED

CONTRADICTION = "contradiction"
REJUDGEABLE = frozenset(
    {"cancelled", "already_cancelled", "paid", "expired", "refused", "later", "ours"}
    | {"duplicate", "doubt", PAYABLE, "not_cancelled", "token_missing", "status_missing"}
    | {"unknown_code", "unknown_status", CONTRADICTION}
)
"""
The words in `heard` of answers whose echoed ids were ours, or did not matter.

Echoes are not stored, so answers judged `foreign_echo` or `no_echo` are not judged again; a
fault, a body that is not the bank's and an ended lease left no answer to judge.
"""

FINAL_OUTCOMES = {
    "cancelled": Outcome.CANCELLED,
    "already_cancelled": Outcome.CANCELLED,
    "expired": Outcome.EXPIRED,
    "paid": Outcome.PAID,
}
"""The words in `heard` that say what became of the token, and the outcome of each."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """
    One stored conversation; `request` is what was sent.

    `short_code` is empty if the answer had none, None if a version without short codes stored
    it. `tokens` holds the id and the stored status of each entry.
    """

    number: int
    request: CancelRequest
    heard: str
    http_status: int | None = None
    status_code: str | None = None
    error_code: str | None = None
    error_desc: str | None = None
    short_code: str | None = None
    tokens: tuple[tuple[str | None, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Rejudgement:
    """A conversation and its judgement now; `rejudged` is False if the first one was kept."""

    conversation: Conversation
    heard: str
    token_status: str | None = None
    rejudged: bool = False


@dataclass(frozen=True, slots=True)
class Conclusion:
    """
    The result of all answers of one job.

    `by` is the first answer that says what became of the token; `outcome` is None if there is
    none, or if another answer contradicts it.
    """

    outcome: Outcome | None = None
    by: Rejudgement | None = None


def rejudge(stored: Conversation, dialect: Dialect) -> Rejudgement:
    """Judge a stored conversation with this dialect; keep the first judgement if unsure."""
    answer = _answer(stored)
    if answer is None:
        return Rejudgement(stored, stored.heard)
    judged = judge(answer, stored.request, dialect)
    return Rejudgement(stored, judged.heard, judged.token_status, rejudged=True)


def conclusion_of(conversations: Iterable[Conversation], dialect: Dialect) -> Conclusion:
    """Return how a job in doubt ends by its answers, judged with this dialect."""
    return conclude(rejudge(stored, dialect) for stored in conversations)


def conclude(rejudgements: Iterable[Rejudgement]) -> Conclusion:
    """
    Return how a job in doubt ends by its answers, in the order in which they came.

    A refusal decides nothing: after doubt it may mean "cancelled already".
    """
    by: Rejudgement | None = None
    for each in rejudgements:
        outcome = FINAL_OUTCOMES.get(each.heard)
        if by is None:
            by = each if outcome else None
        elif each.heard == PAYABLE or outcome not in {None, FINAL_OUTCOMES[by.heard]}:
            return Conclusion(None, by)
    return Conclusion(Outcome(by.heard), by) if by else Conclusion()


def _answer(stored: Conversation) -> Answer | None:
    """Return an answer that is judged as the received one would be; None if that is unsure."""
    if stored.http_status is None or stored.heard not in REJUDGEABLE:
        return None
    short_code = _short_code(stored)
    if short_code is None or (stored.status_code is None and stored.error_code is None):
        return None
    # This contradiction may have been found before the echoes were checked.
    if stored.heard == CONTRADICTION and stored.status_code == SUCCESS and short_code:
        return None
    ours = [status for token_id, status in stored.tokens if token_id == stored.request.token_id]
    if not all(map(_is_one_word, ours)):
        return None
    envelope = Envelope(
        partner_txn_uid=stored.request.partner_txn_uid,
        partner_id=stored.request.partner_id,
        status_code=stored.status_code,
        error_code=stored.error_code,
        tokens=tuple(TokenEntry(token_id, None, _words(text)) for token_id, text in stored.tokens),
        short_code=short_code or None,
    )
    return Answer(stored.http_status, envelope)


def _short_code(stored: Conversation) -> str | None:
    """Return the short code, empty if there was none; None if it may have been cut off."""
    if stored.short_code is not None:
        return stored.short_code
    text = stored.error_desc or ""
    if len(text) >= MAX_TEXT_LENGTH or REDACTED in text:
        return None
    return read_short_code(text) or ""


def _is_one_word(status: str | None) -> bool:
    """Say whether a stored status is whole and was no list: a word may hold a comma too."""
    return status is None or ("," not in status and len(status) < MAX_TEXT_LENGTH)


def _words(status: str | None) -> tuple[str, ...] | None:
    return None if status is None else tuple(filter(None, [status]))

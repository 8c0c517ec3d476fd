"""
What a stored answer would be judged as now, and what a job's stored answers say together.

Pure. The whole answer is not stored: where what is left of it could be read in another way
than the answer itself, the judgement of then is kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from worker.domain.dialect import Dialect
from worker.domain.judgement import PAYABLE, judge
from worker.domain.kplus import (
    LONGEST_WORD,
    SUCCESS,
    Answer,
    CancelRequest,
    Envelope,
    TokenEntry,
    read_short_code,
)
from worker.domain.states import Outcome

CONTRADICTION = "contradiction"
READABLE = frozenset(
    {"cancelled", "already_cancelled", "paid", "expired", "refused", "later", "ours"}
    | {"duplicate", "doubt", PAYABLE, "not_cancelled", "token_missing", "status_missing"}
    | {"unknown_code", "unknown_status", CONTRADICTION}
)
"""
What is heard in answers whose echoed ids were found to be ours, or did not matter.

Echoes are not stored: after `foreign_echo` and `no_echo` nothing else of an answer counts,
and a fault, a body that is not the bank's or a silent worker left no answer.
"""

TRUTHS = {
    "cancelled": Outcome.CANCELLED,
    "already_cancelled": Outcome.CANCELLED,
    "expired": Outcome.EXPIRED,
    "paid": Outcome.PAID,
}
"""What is heard when an answer says what became of the token, and what that is."""
REDACTED = "[redacted]"


@dataclass(frozen=True, slots=True)
class Conversation:
    """
    One conversation as it is stored; `request` is what was sent.

    `short_code` is empty where the answer had none, None where a version stored it that did
    not keep short codes. `tokens` holds the id and the written status of each entry.
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
class Reading:
    """A conversation and what is heard in it now; `again` where it was judged again."""

    of: Conversation
    heard: str
    token_status: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Conclusion:
    """
    What the answers of one job say together.

    `by` is the first one that says what became of the token; `outcome` is None where none
    does, or where another one contradicts it.
    """

    outcome: Outcome | None = None
    by: Reading | None = None


def read_again(kept: Conversation, dialect: Dialect) -> Reading:
    """Return what is heard now in a stored conversation; where that is not sure, as then."""
    answer = _answer(kept)
    if answer is None:
        return Reading(kept, kept.heard)
    judged = judge(answer, kept.request, dialect)
    return Reading(kept, judged.heard, judged.token_status, again=True)


def finding(conversations: Iterable[Conversation], dialect: Dialect) -> Conclusion:
    """Return how a job in doubt ends by its answers, as this dialect understands them."""
    return conclude(read_again(each, dialect) for each in conversations)


def conclude(readings: Iterable[Reading]) -> Conclusion:
    """
    Return how a job in doubt ends by its answers, in the order in which they were heard.

    A refusal is no truth about the token: after doubt it may mean "cancelled already".
    """
    by: Reading | None = None
    for reading in readings:
        truth = TRUTHS.get(reading.heard)
        if by is None:
            by = reading if truth else None
        elif reading.heard == PAYABLE or truth not in {None, TRUTHS[by.heard]}:
            return Conclusion(None, by)
    return Conclusion(Outcome(by.heard), by) if by else Conclusion()


def _answer(kept: Conversation) -> Answer | None:
    """Return an answer that is judged as the one that was heard; None where that is not sure."""
    if kept.http_status is None or kept.heard not in READABLE:
        return None
    short_code = _short_code(kept)
    if short_code is None or (kept.status_code is None and kept.error_code is None):
        return None
    # This one may have been found before the echoes were looked at.
    if kept.heard == CONTRADICTION and kept.status_code == SUCCESS and short_code:
        return None
    ours = [status for token_id, status in kept.tokens if token_id == kept.request.token_id]
    if not all(map(_is_one_word, ours)):
        return None
    envelope = Envelope(
        partner_txn_uid=kept.request.partner_txn_uid,
        partner_id=kept.request.partner_id,
        status_code=kept.status_code,
        error_code=kept.error_code,
        tokens=tuple(TokenEntry(token_id, None, _words(text)) for token_id, text in kept.tokens),
        short_code=short_code or None,
    )
    return Answer(kept.http_status, envelope)


def _short_code(kept: Conversation) -> str | None:
    """Return the short code, empty where there was none; None where it may have been cut off."""
    if kept.short_code is not None:
        return kept.short_code
    text = kept.error_desc or ""
    if len(text) >= LONGEST_WORD or REDACTED in text:
        return None
    return read_short_code(text) or ""


def _is_one_word(status: str | None) -> bool:
    """Say whether a written status is whole, and was no list: a word may hold a comma too."""
    return status is None or ("," not in status and len(status) < LONGEST_WORD)


def _words(status: str | None) -> tuple[str, ...] | None:
    return None if status is None else tuple(filter(None, [status]))

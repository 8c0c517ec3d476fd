"""Answers that echo the partner's secret: the words they carry, without it."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from operator import attrgetter
from typing import Any

from worker.domain.kplus import MAX_TEXT_LENGTH, Answer, CancelRequest, Envelope, TokenEntry
from worker.telemetry.redaction import REDACTED

# Shorter ones would blot out ordinary words without protecting anything.
SHORTEST = 4
_FIELDS = {
    kind: attrgetter(*(field.name for field in fields(kind))) for kind in (Envelope, TokenEntry)
}


def without_secret(answer: Answer, secret: str, *, sent: CancelRequest) -> Answer:
    """
    Return the answer with the secret replaced in every word of its envelope.

    Echoes of our own ids stay as they are: they are known, and the judgement compares them.
    """
    if answer.envelope is None or len(secret) < SHORTEST:
        return answer
    if not any(_may_hold(word, secret) for word in _words(answer.envelope)):
        return answer
    known = {sent.partner_txn_uid, sent.partner_id, sent.token_id, sent.reference1}
    return replace(answer, envelope=_clean(answer.envelope, secret, known))


def _words(value: Any) -> Iterator[str]:
    """Yield every text in an envelope, whatever its fields are."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _words(item)
    elif value is not None:
        yield from _words(_FIELDS[type(value)](value))


def _may_hold(word: str, secret: str) -> bool:
    """Say whether `_clean_word` might change a text."""
    return len(word) > MAX_TEXT_LENGTH // 2 or secret in word


def _clean(value: Any, secret: str, known: set[str]) -> Any:
    if isinstance(value, str):
        return value if value in known else _clean_word(value, secret)
    if isinstance(value, tuple):
        return tuple(_clean(item, secret, known) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        every = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **{name: _clean(item, secret, known) for name, item in every.items()})
    return value


def _clean_word(word: str, secret: str) -> str:
    clean = word.replace(secret, REDACTED)
    if len(word) > MAX_TEXT_LENGTH // 2:  # words are cut at the limit, perhaps within the secret
        for length in range(len(secret) - 1, SHORTEST - 1, -1):
            if clean.endswith(secret[:length]):
                clean = clean[:-length] + REDACTED
                break
    return clean[:MAX_TEXT_LENGTH]

"""Removes the partner's secret from answers that echo it."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from operator import attrgetter
from typing import Any
from urllib.parse import unquote_plus

from worker.domain.kplus import MAX_TEXT_LENGTH, Answer, CancelRequest, Envelope, TokenEntry
from worker.telemetry.redaction import MIN_SECRET_LENGTH, REDACTED

_FIELDS: dict[type, Callable[[object], object]] = {
    kind: attrgetter(*(field.name for field in fields(kind))) for kind in (Envelope, TokenEntry)
}


def without_secret(answer: Answer, secret: str, *, sent: CancelRequest) -> Answer:
    """
    Return the answer with the secret replaced in every text of its envelope and its headers.

    Echoes of our own ids stay unchanged: the judgement compares them.
    """
    if len(secret) < MIN_SECRET_LENGTH:
        return answer
    if answer.retry_after_text or answer.location:
        answer = replace(
            answer,
            retry_after_text=_clean_header(answer.retry_after_text, secret),
            location=_clean_header(answer.location, secret),
        )
    if answer.envelope is None:
        return answer
    if not any(_may_hold(text, secret) for text in _texts(answer.envelope)):
        return answer
    known = {sent.partner_txn_uid, sent.partner_id, sent.token_id, sent.reference1}
    return replace(answer, envelope=_clean(answer.envelope, secret, known))


def _texts(value: object) -> Iterator[str]:
    """Yield every text in an envelope, in all of its fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield from _texts(_FIELDS[type(value)](value))


def _may_hold(text: str, secret: str) -> bool:
    """Say whether `_clean_text` might change a text."""
    return len(text) > MAX_TEXT_LENGTH // 2 or secret in text


def _clean(value: object, secret: str, known: set[str]) -> Any:
    """Return an envelope, or a part of one, with every text cleaned."""
    if isinstance(value, str):
        return value if value in known else _clean_text(value, secret)
    if isinstance(value, tuple):
        return tuple(_clean(item, secret, known) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        every = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **{name: _clean(item, secret, known) for name, item in every.items()})
    return value


def _clean_header(text: str, secret: str) -> str:
    """Return a header's text, or nothing of it if it holds the secret: an address encodes it."""
    return REDACTED if secret in text or secret in unquote_plus(text) else text


def _clean_text(text: str, secret: str) -> str:
    clean = text.replace(secret, REDACTED)
    if len(text) > MAX_TEXT_LENGTH // 2:  # texts are cut at the limit, perhaps within the secret
        for length in range(len(secret) - 1, MIN_SECRET_LENGTH - 1, -1):
            if clean.endswith(secret[:length]):
                clean = clean[:-length] + REDACTED
                break
    return clean[:MAX_TEXT_LENGTH]

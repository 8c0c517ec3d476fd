"""
Redaction of secrets: the last line of defence. The first is to pass no secret on.

    credentials     what stands behind the name of a credential
    known_secrets   the secrets of this process, wherever they stand
    encodings       what a text says once its encodings are taken off
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from worker.telemetry import known_secrets
from worker.telemetry.credentials import REDACTED, is_credential, named_hidden
from worker.telemetry.known_secrets import MIN_SECRET_LENGTH

__all__ = [
    "MIN_SECRET_LENGTH",
    "REDACTED",
    "is_clean",
    "protect",
    "protecting_for_a_while",
    "redact",
    "redact_cut",
    "redact_value",
]

_MAX_REMEMBERED_LENGTH = 128
_MAX_DEPTH = 64
_PAIR = 2
_MAX_WORDS = 4096
_MAX_WORD_LENGTH = 40
_clean_words: set[str] = set()
"""Short texts of log lines that held nothing: most come again and again."""
_NUMBERS = (int, float)
_LARGE = 10**7
_OWN_FIELDS = frozenset({"level", "logger", "timestamp"})
"""Fields of a log line that only our own code writes."""


def protect(secrets: Iterable[str]) -> None:
    """
    Register secret values: `redact` replaces them everywhere, in every encoding.

    Whoever reads a secret registers it, before it is used.
    """
    if known_secrets.register(secrets):
        _forget_texts()


@contextmanager
def protecting_for_a_while() -> Iterator[None]:
    """Forget at the end what was registered in the block: a test must not redact for the next."""
    with known_secrets.restored():
        yield
    _forget_texts()


def _forget_texts() -> None:
    """Forget what was found in texts before: with other secrets it may be wrong."""
    _are_clean_names.cache_clear()
    _clean_words.clear()
    _remembered.cache_clear()
    _remembered_cut.cache_clear()


def redact(text: str) -> str:
    """Return the text with registered secrets and credential-like values replaced."""
    return _remembered(text) if len(text) <= _MAX_REMEMBERED_LENGTH else _redacted(text)


def redact_cut(text: str) -> str:
    """Return a text redacted that may have been cut off: its end may be the half of a secret."""
    return _remembered_cut(text) if len(text) <= _MAX_REMEMBERED_LENGTH else _redacted_cut(text)


def _redacted(text: str) -> str:
    return named_hidden(known_secrets.without_known(text))


def _redacted_cut(text: str) -> str:
    return named_hidden(known_secrets.without_known(text, may_be_cut=True))


# Codes, statuses and the words of logs come again and again.
_remembered = lru_cache(maxsize=2048)(_redacted)
_remembered_cut = lru_cache(maxsize=2048)(_redacted_cut)


def redact_value(value: object) -> Any:
    """Return a structure with its texts redacted, and every value under the name of a secret."""
    return _redacted_value(value, depth=0)


def _redacted_value(value: object, *, depth: int) -> Any:
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth == _MAX_DEPTH:  # deeper, and Python itself would give up
            return REDACTED
        if isinstance(value, Mapping):
            return _redacted_mapping(value, depth=depth + 1)
        if isinstance(value, list | tuple) and _names_a_credential(value):
            return [redact(_text(value[0])), REDACTED]
        return [_redacted_value(item, depth=depth + 1) for item in value]
    if value is None:
        return value
    text = _text(value)
    clean = redact(text)
    kept = isinstance(value, _NUMBERS) and clean == text and text != REDACTED
    return value if kept else clean


def _redacted_mapping(value: Mapping[Any, object], *, depth: int) -> dict[Any, Any]:
    return {
        key if key is None or isinstance(key, _NUMBERS) else redact(_text(key)): (
            REDACTED if is_credential(_text(key)) else _redacted_value(item, depth=depth)
        )
        for key, item in value.items()
    }


def _names_a_credential(pair: Sequence[object]) -> bool:
    """Say whether this is a name with its value, as headers are listed."""
    return len(pair) == _PAIR and isinstance(pair[0], str | bytes) and is_credential(_text(pair[0]))


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(errors="backslashreplace")
    try:
        return str(value)
    except ValueError:  # an integer of thousands of digits
        return REDACTED


def is_clean(event: Mapping[str, object]) -> bool:
    """Say whether `redact_value` would change nothing; fast, as it checks all texts at once."""
    if not _are_clean_names(tuple(event)):
        return False
    texts = []
    for name, value in event.items():
        if isinstance(value, str):
            if value not in _clean_words and name not in _OWN_FIELDS:
                texts.append(value)
        elif isinstance(value, int):
            if not -_LARGE < value < _LARGE:  # long enough to be a secret
                return False
        elif value is not None and not isinstance(value, float):
            return False
    if not _is_clean_text("\0".join(texts)):
        return False
    if len(_clean_words) > _MAX_WORDS:
        _clean_words.clear()
    _clean_words.update(text for text in texts if len(text) <= _MAX_WORD_LENGTH)
    return True


@lru_cache(maxsize=1024)
def _are_clean_names(names: tuple[str, ...]) -> bool:
    return not any(map(is_credential, names)) and _is_clean_text("\0".join(names))


def _is_clean_text(text: str) -> bool:
    return not known_secrets.holds_known(text) and named_hidden(text) == text

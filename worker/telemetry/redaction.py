"""Redaction of secrets: the last line of defence. The first is to pass no secret on."""

import base64
import html
import json as jsons
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
MIN_SECRET_LENGTH = 4
"""Shorter values are not redacted: they would remove ordinary text and protect nothing."""
_secrets: list[str] = []
"""Every form of every registered secret, longest first: one may be part of another."""
# A value after the name of a credential, in JSON, in a repr or in a query string.
_NAMES = r"partner[-_]?secret|password|authorization"
_NAMED = re.compile(
    rf"""(?P<name>(?:{_NAMES})\\*["']?\s*[:=]\s*)"""
    # JSON inside JSON, a quoted string (ended or cut off), or a bare word.
    r"""(?:(?P<quote>\\+["']).*?(?:(?P=quote)|$)"""
    r"""|"(?:\\.|[^"\\])*(?:"|$)|'(?:\\.|[^'\\])*(?:'|$)|[^\s,}&;]+)""",
    re.IGNORECASE | re.DOTALL,
)
_NAME = re.compile(_NAMES, re.IGNORECASE)
_PERCENT = re.compile("%[0-9A-F]{2}")
_FOR_URLS = str.maketrans("+/", "-_")
_URL_PASSWORD = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+@", re.IGNORECASE)


def protect(secrets: Iterable[str]) -> None:
    """Register secret values: `redact` replaces them everywhere, in every encoding of `_forms`."""
    long_enough = (secret for secret in secrets if len(secret) >= MIN_SECRET_LENGTH)
    known = {*_secrets, *(form for secret in long_enough for form in _forms(secret))}
    _secrets[:] = sorted(known, key=len, reverse=True)


def _forms(secret: str) -> Iterator[str]:
    """Yield the secret as it is, and as encoded in JSON, URLs, HTML and base64."""
    written = jsons.dumps(secret)[1:-1]
    for form in (secret, written):
        yield form
        yield form.replace("/", "\\/")  # as PHP writes JSON
        yield from _base64_forms(form)
    yield jsons.dumps(written)[1:-1]
    yield written.replace('\\"', '"')
    yield html.escape(secret)
    for form in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield form
        yield _PERCENT.sub(lambda found: found.group().lower(), form)


def _base64_forms(text: str) -> Iterator[str]:
    """Yield the base64 of a text in the middle of others: one form for each alignment."""
    for offset in range(3):
        encoded = base64.b64encode(b"x" * offset + text.encode()).decode()
        inner = encoded[4 if offset else 0 : -4]
        if len(inner) > MIN_SECRET_LENGTH:
            yield inner
            yield inner.translate(_FOR_URLS)


def redact(text: str) -> str:
    """Return the text with registered secrets and credential-like values replaced."""
    for secret in tuple(_secrets):
        text = text.replace(secret, REDACTED)
    # Nearly all texts are short: checking for a character that each pattern needs is faster.
    if ":" in text or "=" in text:
        text = _NAMED.sub(rf"\g<name>{REDACTED}", text)
        if "@" in text:
            text = _URL_PASSWORD.sub(rf"\g<head>{REDACTED}@", text)
    return text


def redact_value(value: object) -> Any:
    """Return a structure with its texts redacted, and every value under the name of a secret."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {
            redact_value(key): REDACTED if _NAME.fullmatch(str(key)) else redact_value(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact_value(item) for item in value]
    return value if isinstance(value, int | float | None) else redact(str(value))


def is_clean(event: Mapping[str, object]) -> bool:
    """Say whether `redact_value` would change nothing; fast, as it checks all texts at once."""
    texts = [*event]
    for value in event.values():
        if isinstance(value, str):
            texts.append(value)
        elif not isinstance(value, int | float | None):
            return False
    text = "\0".join(texts)
    return not (
        _NAME.search(text)
        or ("@" in text and _URL_PASSWORD.search(text))
        or any(secret in text for secret in _secrets)
    )

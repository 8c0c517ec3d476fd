"""
Credentials that are known by what stands before them: a name, a scheme, or a user in a URL.

Every repetition is bounded or never given back, so each pattern takes linear time.
"""

import re
from collections.abc import Callable

REDACTED = "[redacted]"

_SEPARATOR = r"[-_. ]?"
_WORDS = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "secret", "credential"),
    *("cookie", "jsessionid", "sessionid", "session-id", "phpsessid", "authorization"),
    *("api-key", "access-key", "secret-key", "private-key", "signing-key", "encryption-key"),
    *(f"{kind}-token" for kind in ("access", "refresh", "auth", "session", "bearer", "csrf")),
    *(f"{kind}-token" for kind in ("xsrf", "api", "security", "oauth", "client")),
)
"""How the names of credentials end. A bare `token` is none: payment tokens are our business."""
_ROOTS = (
    *("pass", "pwd", "secret", "credential", "cookie", "sess", "auth", "key", "token"),
    *("bearer", "basic"),
)
"""One of them stands in every text that `hidden` changes, but for URLs."""
_NAME = "|".join(word.replace("-", _SEPARATOR) for word in _WORDS) + r"|(?<![a-z])id[-_]?token"
_QUOTE = r"""(?:\\{0,8}["'`]|&(?:quot|apos|\#0{0,5}3[49]|\#x0{0,4}2[27]);|%(?:25){0,2}2[27])"""
_BREAK = r"\s{0,64}+"
_DONE = r"\[redacted\]"
_NAMED = re.compile(
    rf"""
    (?P<name>(?:{_NAME})s?[0-9]{{0,3}}
      (?: (?:{_QUOTE})?{_BREAK}(?:=>|:=|[:=]|&\#(?:58|61|x3[ad]);|%(?:25){{0,2}}3[ad]){_BREAK}
        | {_QUOTE}{_BREAK},{_BREAK}
        | (?P<element>\s{{0,8}}>)
      )
    )
    (?!{_DONE})
    (?:
        (?P<nested>\\{{1,8}}["'`]|&[\#a-z0-9]{{1,8}};|%(?:25){{0,2}}2[27]).*?(?:(?P=nested)|\Z)
      | [bru]?"(?:\\.|[^"\\])*+(?:"|\Z) | [bru]?'(?:\\.|[^'\\])*+(?:'|\Z)
      | \[[^\]]*+\]? | \{{[^}}]*+\}}?
      | (?(element)[^<]++|(?!))
      | (?!(?:must|field|input|string|value)\s)[^\s,}}&;<]++
    )
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
# In the lines of HTTP headers a value holds blanks: a scheme before it, or many cookies.
_HEADER = re.compile(
    rf"""
    (?P<name>authorization\s{{0,8}}[:=]\s{{0,8}}+)(?!{_DONE})
    [^\s,;"'}}&<]{{1,8192}}+
    (?:[ \t]{{1,8}}+(?:[a-z]{{1,32}}+=["a-z0-9][^\r\n]{{0,8192}}+|[^\s,;"'}}&<]{{1,8192}}+))?+
    | (?P<cookie>cookie\s{{0,8}}:\s{{0,8}}+)(?!{_DONE})[^\r\n"']{{1,8192}}+
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SCHEME = re.compile(
    r"(?P<name>\b(?:bearer|basic)\s{1,8}+)"
    # Not every word: it has a digit, a sign, or a capital after a small letter.
    r"(?=[a-z-]{0,200}+[0-9=_~.+/]|(?-i:[A-Z]{0,200}+[a-z]{1,200}+[A-Z]))[a-z0-9._~+/=-]{8,}+",
    re.IGNORECASE,
)
# The last `@` before a blank ends the password: one in a password should be encoded, and is not
# always. A port after the colon is no password.
_URL_USER = re.compile(
    r"(?P<head>://[^\s:/@\"'<>]{0,256}+:)(?![0-9]{1,5}(?:[/?#]|\Z))"
    r"(?:[^\s@\"'<>]{0,256}+@){1,8}+"
)
_NAME_ENDS = tuple(word.replace("-", "") for word in _WORDS)
_NO_LETTER = re.compile(r"[^a-z]")


def is_credential(name: str) -> bool:
    """Say whether a value under this name is a credential, however the name is spelled."""
    plain = _NO_LETTER.sub("", name[-64:].lower())
    return plain.removesuffix("s").endswith(_NAME_ENDS) or plain == "idtoken"


def named_hidden(text: str) -> str:
    """Return a text without the values that stand behind the name of a credential."""
    lowered = text.lower()
    if any(root in lowered for root in _ROOTS):
        text = _HEADER.sub(_keep("name", "cookie"), text)
        text = _NAMED.sub(_keep("name"), text)
        text = _SCHEME.sub(_keep("name"), text)
    if "://" in text and "@" in text:
        text = _URL_USER.sub(rf"\g<head>{REDACTED}@", text)
    return text


def _keep(*groups: str) -> Callable[[re.Match[str]], str]:
    """Return a replacement that keeps what stands before the value."""
    return lambda found: "".join(found[group] or "" for group in groups) + REDACTED

"""What makes texts and URLs valid, and errors as plain text without the input itself."""

from urllib.parse import SplitResult, urlsplit

from pydantic import ValidationError
from pydantic_core import ErrorDetails

IDENTIFIER = "^[!-~]+$"
UID_PREFIX = "^[A-Za-z0-9_-]{1,6}$"
WEB_ADDRESS = r"^https?://[^\s/?#]+\S*$"
_MESSAGES = {
    IDENTIFIER: "must be printable ASCII characters without blanks",
    UID_PREFIX: "must be 1 to 6 letters, digits, - or _",
    WEB_ADDRESS: "must be a whole address, such as https://host/path",
}
"""The message for a text that does not match a pattern."""


def error_lines(error: ValidationError) -> list[str]:
    """Return one line per field, `name: what is wrong`, never the value itself."""
    return [
        ": ".join(filter(None, (".".join(map(str, item["loc"])), _message(item))))
        for item in error.errors(include_input=False, include_url=False)
    ]


def _message(item: ErrorDetails) -> str:
    if item["type"] == "string_pattern_mismatch":
        return _MESSAGES.get(item["ctx"]["pattern"], item["msg"])
    return item["msg"].removeprefix("Value error, ")


def split_url(url: str) -> SplitResult | None:
    """Return the parts of a URL, or None if it has no host, or a port that does not exist."""
    try:
        parts = urlsplit(url)
        can_be_reached = parts.hostname and parts.port != 0
    except ValueError:  # no URL, or a port above 65535
        return None
    return parts if can_be_reached else None


def check_no_user(url: str) -> None:
    """Raise ValueError if a URL holds a user or a password: they would not be sent."""
    parts = split_url(url)
    if parts is not None and "@" in parts.netloc:
        raise ValueError(
            "must hold no user and no password, which would not be sent: what a gateway asks "
            "for belongs into `headers` of the partners file"
        )

"""What is wrong with input, in plain words, and never the input itself."""

from typing import Any

from pydantic import ValidationError

IDENTIFIER = "^[!-~]+$"
UID_PREFIX = "^[A-Za-z0-9_-]{1,6}$"
WEB_ADDRESS = r"^https?://[^\s/?#]+\S*$"
_PLAIN = {
    IDENTIFIER: "must be printable ASCII characters without blanks",
    UID_PREFIX: "must be 1 to 6 letters, digits, - or _",
    WEB_ADDRESS: "must be a whole address, such as https://host/path",
}


def complaints(error: ValidationError) -> list[str]:
    """Return one line per field, `name: what is wrong`, never the value itself."""
    return [
        ": ".join(filter(None, (".".join(map(str, item["loc"])), _said(item))))
        for item in error.errors(include_input=False, include_url=False)
    ]


def _said(item: Any) -> str:
    if item["type"] == "string_pattern_mismatch":
        return _PLAIN.get(item["ctx"]["pattern"], str(item["msg"]))
    return str(item["msg"]).removeprefix("Value error, ")

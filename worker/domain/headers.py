"""Headers that a gateway before the bank asks for: the same ones with each call of a partner."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, SecretStr

LONGEST: Final = 4096
MOST: Final = 32
FIXED: Final = frozenset(
    {"content-type", "authorization", "partner-id", "partner-secret"}
    | {"host", "content-length", "accept-encoding", "user-agent"}
    | {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
    | {"proxy-authorization", "proxy-connection"}
)
"""What the bank's protocol and the transport fix, in small letters."""
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")


def _listed(headers: Any) -> Any:
    """Return a table as its pairs, which do not change."""
    if not isinstance(headers, dict | tuple):
        raise ValueError('must be a table: headers = { "x-api-key" = "..." }')  # noqa: TRY004
    return tuple(headers.items()) if isinstance(headers, dict) else headers


def _checked(headers: tuple[tuple[str, SecretStr], ...]) -> tuple[tuple[str, SecretStr], ...]:
    """Raise ValueError if these cannot be sent beside the bank's own; no value is shown."""
    if len(headers) > MOST:
        raise ValueError(f"must be {MOST} headers at most")
    seen: set[str] = set()
    for name, value in headers:
        if not _NAME.fullmatch(name):
            raise ValueError("must have names of letters, digits and dashes, such as x-api-key")
        if name.lower() in FIXED:
            raise ValueError(f"{name} must be left out: the bank's protocol or HTTP fixes it")
        if name.lower() in seen:
            raise ValueError(f"{name} stands there twice: letters may be small or large")
        seen.add(name.lower())
        _check_value(name, value.get_secret_value())
    return headers


def _check_value(name: str, value: str) -> None:
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        raise ValueError(f"{name} must be printable ASCII without spaces around it")
    if not 0 < len(value) <= LONGEST:
        raise ValueError(f"{name} must be 1 to {LONGEST} characters long")


Headers = Annotated[
    tuple[tuple[str, SecretStr], ...], BeforeValidator(_listed), AfterValidator(_checked)
]
"""Names and values, given as a table."""

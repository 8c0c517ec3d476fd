"""Where a redirect leads, as it may be shown: without credentials, query and fragment."""

import re
from urllib.parse import urlsplit, urlunsplit

MAX_LENGTH = 2000
"""Longer than what is shown of it: a secret that is cut in two can no longer be found."""

_PARAMETERS = re.compile(r";[^/]*")
_CREDENTIALS = re.compile(r"(?<![^/\\])[^/\\]*@")
"""From the beginning of a part of the address: one try a part keeps it linear."""
_UNPRINTABLE = re.compile(r"[^!-~]")


def shown_location(value: str | None) -> str:
    """
    Return the address of a `Location` header, bounded; empty if there is none.

    Its query and the parameters of its path are left out: sessions and tokens travel there.
    """
    if not value or not value.strip():
        return ""
    try:
        parts = urlsplit(value.strip())
    except ValueError:
        return "an address that cannot be read"
    path = _PARAMETERS.sub("", parts.path)
    address = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return _UNPRINTABLE.sub("?", _CREDENTIALS.sub("", address))[:MAX_LENGTH]

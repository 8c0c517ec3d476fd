"""The passwords in the URLs of the settings."""

from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote

from worker.telemetry.credentials import is_credential


def url_secrets(url: str) -> Iterator[str]:
    """
    Yield every password of a URL, or of several behind each other: as written, and decoded.

    A password that is the user's name too is none: it would hide that word everywhere.
    """
    for part in url.split(";"):
        rest, _, query = part.partition("://")[2].partition("?")
        # A slash in a password should be encoded, and is not always.
        for authority in {rest.partition("/")[0], rest}:
            user, _, password = authority.rpartition("@")[0].partition(":")
            if password and unquote(password) != unquote(user):
                yield from (password, unquote(password))
        yield from (value for name, value in parse_qsl(query) if is_credential(name))

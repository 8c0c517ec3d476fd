"""
TLS alerts by which the bank refuses our client certificate, before it has read a request.

In TLS 1.2 the refusal ends the handshake, and nothing has been sent. In TLS 1.3 our side of
the handshake ends before the bank checks our certificate: the refusal is the first thing that
we read, after the request was sent. Even so, the bank cannot have acted (RFC 8446):

- Records are read in order. Our certificate comes before the request, and the alert ends the
  connection there (sections 4.4.2.4 and 6.2).
- A server can ask for a certificate later only if the client offers it (section 4.2.6). We do
  not (`post_handshake_auth`); nor do we send early data or resume a session.
- The alert is protected by the keys of the peer that proved to be the bank.

So the alert counts only on a connection from which nothing has been read, and only in TLS 1.3:
in TLS 1.2 the bank may read a request and then ask for our certificate. A connection that ends
without an alert proves nothing. All other cases are doubt.

If a bank did act first and refuse after that, the job would still be tried again under the same
uid; only a plain refusal of that second try would be accepted too early.
"""

import re
import ssl
from typing import Protocol

_ALERT = re.compile(r"ALERT_(\w{1,64})\Z")
_CHECK = "check client_cert and client_key"
_ADVICE = {
    "certificate_required": "it wants one: set client_cert and client_key",
    "handshake_failure": "it may want one: set client_cert and client_key, or check them",
    "certificate_expired": "it has ended: put a new one into client_cert",
    "certificate_revoked": "it was revoked: put a new one into client_cert",
    "unknown_ca": "the bank does not know its issuer: use the one that the bank has registered",
    "access_denied": "ask the bank whether it is registered for this partner",
    "bad_certificate": _CHECK,
    "unsupported_certificate": _CHECK,
    "certificate_unknown": _CHECK,
}


class Secured(Protocol):
    """A connection under TLS."""

    def cipher(self) -> tuple[str, str, int] | None:
        """Return the cipher that was chosen, None before that."""
        ...

    def version(self) -> str | None:
        """Return the version of TLS."""
        ...


def refusal(error: ssl.SSLError) -> str | None:
    """Return why the peer refuses our certificate and what to do; None for other errors."""
    found = _ALERT.search(error.reason or "")
    word = found[1].lower() if found else ""
    return f"{word}: {_ADVICE[word]}" if word in _ADVICE else None


def refused_in_handshake(error: ssl.SSLError, connection: Secured) -> str | None:
    """
    Return the refusal that ended a handshake, or None if it ended for another reason.

    A peer that shares no cipher with us also sends `handshake_failure`. Once a cipher has been
    chosen, only our certificate can be the reason.
    """
    return refusal(error) if connection.cipher() is not None else None


def refuses_late(connection: Secured) -> bool:
    """Say whether a refusal comes after the handshake, as the first thing read (TLS 1.3)."""
    return connection.version() == "TLSv1.3"

"""
TLS alerts by which the bank refuses our client certificate, before it has read a request.

In TLS 1.2 the refusal ends the handshake, and nothing has been sent. In TLS 1.3 our side of
the handshake is over before the bank looks at our certificate: the refusal is the first
thing that is read, when the request is on its way. It is certain all the same that the bank
did not act on it (RFC 8446):

- Records are read in their order. Our certificate stands before the request, and the alert
  ends the connection there (sections 4.4.2.4 and 6.2).
- A certificate can be asked for later only of a client that offers it (section 4.2.6). We
  do not (`post_handshake_auth`); nor do we send early data or resume a session.
- The alert comes under the keys of the peer that proved to be the bank.

So the alert counts on a connection from which nothing has been read, and under TLS 1.3
alone: in TLS 1.2 the bank may read a request and ask for our certificate then. A connection
that ends without an alert says nothing. All of that stays doubt.

Were a bank to act first and refuse then, the job would still be asked again, under the same
uid; only a plain refusal of it would then be believed too early.
"""

import re
import ssl

_ALERT = re.compile(r"ALERT_(\w+)$")
_LOOK = "check client_cert and client_key"
_ADVICE = {
    "certificate_required": "it wants one: set client_cert and client_key",
    "handshake_failure": "it may want one: set client_cert and client_key, or check them",
    "certificate_expired": "it has ended: put a new one into client_cert",
    "certificate_revoked": "it was revoked: put a new one into client_cert",
    "unknown_ca": "the bank does not know its issuer: use the one that the bank has registered",
    "access_denied": "ask the bank whether it is registered for this partner",
    "bad_certificate": _LOOK,
    "unsupported_certificate": _LOOK,
    "certificate_unknown": _LOOK,
}


def refusal(error: ssl.SSLError) -> str | None:
    """Return what the peer has against our certificate and what to do; None for other errors."""
    found = _ALERT.search(error.reason or "")
    word = found[1].lower() if found else ""
    return f"{word}: {_ADVICE[word]}" if word in _ADVICE else None


def refused_in_handshake(error: ssl.SSLError, line: ssl.SSLSocket) -> str | None:
    """
    Return the refusal that ended a handshake, None where it ended for another reason.

    `handshake_failure` is also what a peer says that shares no cipher with us. Once a cipher
    has been chosen, nothing is left to fail but the proof of who we are.
    """
    return refusal(error) if line.cipher() is not None else None


def refuses_late(line: ssl.SSLSocket) -> bool:
    """Say whether a refusal comes after the handshake of this line, as the first thing read."""
    return line.version() == "TLSv1.3"

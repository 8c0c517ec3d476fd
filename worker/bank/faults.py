"""
Every failure of a conversation: one table of words and meanings, one of where they come from.

The words are stable: they stand in `cancel_attempts.heard`, in metrics and in alarms.
"""

import re

import httpx

from worker.bank.deadline import (
    AnswerUnfinished,
    NameUnknown,
    TlsAlert,
    TlsFailed,
    TlsRefused,
    TlsUntrusted,
)
from worker.errors import (
    AnswerLost,
    BankError,
    BankUnreachable,
    BankUntrusted,
    CallMisconfigured,
    CallNotMade,
    CertificateRefused,
)
from worker.redaction import REDACTED

LONGEST_DETAIL = 200


class StrayAnswer(Exception):
    """What came back was sent before our request, so it answers something else."""


FAULTS: dict[str, tuple[type[BankError], str]] = {
    "no_time_left": (CallNotMade, "no time was left for the call"),
    "closed": (CallNotMade, "this process has stopped calling the bank"),
    "pool_timeout": (CallNotMade, "every connection was busy until the deadline"),
    "dns_failed": (BankUnreachable, "the bank's host name could not be resolved"),
    "connect_failed": (BankUnreachable, "the connection could not be made"),
    "connect_timeout": (BankUnreachable, "the connection was not made before the deadline"),
    "tls_failed": (BankUnreachable, "the TLS handshake failed"),
    "proxy_failed": (BankUnreachable, "a proxy refused the connection"),
    "tls_untrusted": (
        BankUntrusted,
        "the peer could not prove that it is the bank (check its address and ca_bundle)",
    ),
    "tls_refused": (
        CertificateRefused,
        "the bank refused our client certificate, or that there is none",
    ),
    "write_failed": (AnswerLost, "the connection broke while the request was sent"),
    "write_timeout": (AnswerLost, "the request was not sent whole before the deadline"),
    "read_timeout": (AnswerLost, "the bank said nothing before the deadline"),
    "deadline": (AnswerLost, "the answer was still arriving at the deadline"),
    "connection_dropped": (AnswerLost, "the connection ended before the answer was whole"),
    "tls_alert": (
        AnswerLost,
        "the bank ended TLS after the handshake; it may want another client certificate",
    ),
    "protocol_error": (AnswerLost, "what came back is not HTTP"),
    "stray_answer": (AnswerLost, "the answer was there before the request was sent"),
    "unexpected": (AnswerLost, "the call failed in a way that nobody foresaw"),
    "bad_url": (CallMisconfigured, "the bank's URL cannot be called"),
    "bad_request": (CallMisconfigured, "the request cannot be written"),
    "bad_tls_files": (CallMisconfigured, "the TLS files cannot be used"),
    "wrong_partner": (CallMisconfigured, "the request is not this partner's"),
    "http_library": (CallMisconfigured, "the installed httpx and httpcore cannot be used"),
}

# The nearest class of an error decides. What stands nowhere below may have been sent.
WORDS: dict[type[BaseException], str] = {
    NameUnknown: "dns_failed",
    TlsFailed: "tls_failed",
    TlsUntrusted: "tls_untrusted",
    TlsRefused: "tls_refused",
    AnswerUnfinished: "deadline",
    TlsAlert: "tls_alert",
    StrayAnswer: "stray_answer",
    httpx.PoolTimeout: "pool_timeout",
    httpx.ConnectTimeout: "connect_timeout",
    httpx.WriteTimeout: "write_timeout",
    httpx.ReadTimeout: "read_timeout",
    httpx.ConnectError: "connect_failed",
    httpx.WriteError: "write_failed",
    httpx.ReadError: "connection_dropped",
    httpx.CloseError: "connection_dropped",
    httpx.ProxyError: "proxy_failed",
    httpx.UnsupportedProtocol: "bad_url",
    httpx.InvalidURL: "bad_url",
    httpx.LocalProtocolError: "bad_request",  # headers are checked before a byte is written
    httpx.RemoteProtocolError: "protocol_error",
    httpx.DecodingError: "unexpected",
    httpx.TooManyRedirects: "unexpected",
    httpx.HTTPStatusError: "unexpected",
    httpx.CookieConflict: "unexpected",
    httpx.StreamConsumed: "unexpected",
    httpx.StreamClosed: "unexpected",
    httpx.ResponseNotRead: "unexpected",
    httpx.RequestNotRead: "unexpected",
    Exception: "unexpected",
}

# h11 tells the two apart in words only.
_CLOSED_EARLY = re.compile(r"disconnected without|closed connection without")
# From here on, h11 quotes bytes: ours, or the peer's, which may echo ours.
_QUOTED = re.compile(r"\(?\b(?:bytearray\()?b['\"].*", re.DOTALL)


def fault(word: str, detail: str = "") -> BankError:
    """Return the error of this word, its meaning and what was seen in this case."""
    branch, meaning = FAULTS[word]
    return branch(f"{meaning}: {detail}" if detail else meaning, fault=word)


def heard(error: Exception, *, secret: str) -> BankError:
    """
    Return what an error of the HTTP libraries means. Total: no error is left out.

    Nothing that came over the wire is quoted.
    """
    word = word_for(error)
    detail = "" if word == "unexpected" else _QUOTED.sub("", str(error)).strip(" :")
    detail = detail.replace(secret, REDACTED)[:LONGEST_DETAIL]
    return fault(word, detail or type(error).__name__)


def word_for(error: Exception) -> str:
    """Return the stable word for an error of the HTTP libraries."""
    cause = error.__cause__
    if cause is not None and type(cause) in WORDS:  # our own, carried by one of httpx's
        return WORDS[type(cause)]
    if isinstance(error, httpx.RemoteProtocolError) and _CLOSED_EARLY.search(str(error)):
        return "connection_dropped"
    return next(WORDS[kind] for kind in type(error).__mro__ if kind in WORDS)

"""One stable word for every error of the HTTP libraries and of this package."""

import re

import httpx

from worker.net.errors import (
    AnswerUnfinished,
    NameUnknown,
    ProxyFailed,
    TlsAlert,
    TlsFailed,
    TlsRefused,
    TlsUntrusted,
)
from worker.net.tls import TlsFilesUnusable
from worker.net.transport import StrayAnswer, UnsupportedLibrary

# The nearest class of an error decides. For all others, the request may have been sent.
FAULTS_BY_ERROR: dict[type[BaseException], str] = {
    NameUnknown: "dns_failed",
    TlsFailed: "tls_failed",
    TlsUntrusted: "tls_untrusted",
    TlsRefused: "tls_refused",
    ProxyFailed: "proxy_failed",
    AnswerUnfinished: "deadline",
    TlsAlert: "tls_alert",
    StrayAnswer: "stray_answer",
    TlsFilesUnusable: "bad_tls_files",
    UnsupportedLibrary: "http_library",
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
# h11 distinguishes the two only by its message.
_CLOSED_EARLY = re.compile(r"disconnected without|closed connection without")


def fault_of(error: Exception) -> str:
    """Return the stable word for an error of the HTTP libraries."""
    cause = error.__cause__
    if cause is not None and type(cause) in FAULTS_BY_ERROR:  # our own, wrapped by httpx
        return FAULTS_BY_ERROR[type(cause)]
    if isinstance(error, httpx.RemoteProtocolError) and _CLOSED_EARLY.search(str(error)):
        return "connection_dropped"
    return next(FAULTS_BY_ERROR[kind] for kind in type(error).__mro__ if kind in FAULTS_BY_ERROR)

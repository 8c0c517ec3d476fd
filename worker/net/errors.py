"""
What can go wrong with a connection, in more detail than the HTTP libraries have.

They are subclasses of httpcore's errors, so that httpx passes them through:

    httpcore.ConnectError
    ├── NameUnknown         the host name could not be resolved
    ├── TlsFailed           the TLS handshake failed
    ├── TlsUntrusted        the peer's certificate does not prove the host's identity
    └── TlsRefused          the peer refused our certificate, before it read anything
    httpcore.ProxyError
    └── ProxyFailed         the proxy was not reached, or did not open a tunnel to the host
    httpcore.ReadTimeout
    └── AnswerUnfinished    the answer had begun to arrive when the deadline passed
    httpcore.ReadError
    └── TlsAlert            the peer ended TLS with an alert after the handshake
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpcore

from worker.net.trust import advice


class NameUnknown(httpcore.ConnectError):
    """The host name could not be resolved."""


class TlsFailed(httpcore.ConnectError):
    """The TLS handshake failed, but not because of a certificate."""


class TlsUntrusted(httpcore.ConnectError):
    """The peer's certificate does not prove that it is the requested host."""


class TlsRefused(httpcore.ConnectError):
    """The peer refused our certificate, or that we have none, before it read anything."""


class ProxyFailed(httpcore.ProxyError):
    """The proxy was not reached, or did not open a tunnel: the host was sent nothing."""


class AnswerUnfinished(httpcore.ReadTimeout):
    """The answer had begun to arrive when the deadline passed."""


class TlsAlert(httpcore.ReadError):
    """The peer ended TLS with an alert after the handshake; it may have read what we sent."""


def no_refusal(_: ssl.SSLError) -> None:
    """Return None: this error is no refusal of our certificate."""


@contextmanager
def translated_errors(
    timed_out: type[Exception],
    failed: type[Exception],
    *,
    refused: Callable[[ssl.SSLError], str | None] = no_refusal,
) -> Iterator[None]:
    """
    Translate the system's errors into httpcore's; errors of httpcore pass unchanged.

    `refused` returns the refusal of our certificate if the error is one, else None.
    """
    try:
        yield
    except TimeoutError as error:
        raise timed_out(str(error)) from error
    except ssl.SSLCertVerificationError as error:
        raise TlsUntrusted(advice(error)) from error
    except ssl.SSLError as error:
        if refusal_text := refused(error):
            raise TlsRefused(refusal_text) from error
        if failed is TlsFailed or "ALERT" not in (error.reason or ""):
            raise failed(str(error)) from error
        raise TlsAlert(error.reason) from error
    except (OSError, ValueError) as error:  # ValueError: a server name that TLS does not accept
        raise failed(str(error)) from error

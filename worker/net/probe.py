"""Looks at a host as a call would, and sends it nothing: the way there, its proof, its welcome."""

from dataclasses import dataclass
from enum import StrEnum
from ssl import SSLContext
from typing import Any

import httpcore

from worker.net.backend import DeadlineBackend
from worker.net.deadline import Deadline
from worker.net.errors import NameUnknown, ProxyFailed, TlsAlert, TlsRefused, TlsUntrusted
from worker.net.proxy import Proxy
from worker.net.stream import DeadlineStream

WELCOME_SECONDS = 1.0
"""How long a host may take to refuse our certificate after a handshake of TLS 1.3."""


class Seen(StrEnum):
    """What became of a look at a host."""

    READY = "it waits for a request"
    CONNECTED = "it took the connection, and was not asked to prove anything"
    NAME_UNKNOWN = "its name is not known"
    UNREACHABLE = "it cannot be reached"
    PROXY_FAILED = "the proxy does not open the way to it"
    UNTRUSTED = "it cannot prove who it is"
    REFUSED = "it refuses our certificate, or that we have none"
    LEFT = "it ended the connection after the handshake"
    SPOKE_FIRST = "it said something before it was asked"


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen, and why; `certificate` and `version` are those of a peer under TLS."""

    seen: Seen
    detail: str = ""
    version: str = ""
    certificate: dict[str, Any] | None = None


def look(
    host: str, port: int, *, seconds: float, context: SSLContext | None, proxy: Proxy | None
) -> Look:
    """
    Connect, and shake hands if there is a `context`; say what was seen.

    It goes the way of a call: through the proxy, and with the addresses of a name tried side by
    side. Raises `TlsFilesUnusable` if the proxy's CA bundle cannot be used.
    """
    backend = DeadlineBackend(proxy)
    try:
        with Deadline(seconds):
            stream = backend.connect_tcp(host, port)
            secured = None if context is None else stream.start_tls(context, host)
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProxyError) as error:
        return _failed(error)
    try:
        return Look(Seen.CONNECTED) if secured is None else _welcome(secured)
    finally:
        stream.close()


def _failed(error: Exception) -> Look:
    """Return what an error of a connection means; those with an advice are told whole."""
    told = {
        ProxyFailed: Seen.PROXY_FAILED,
        TlsUntrusted: Seen.UNTRUSTED,
        TlsRefused: Seen.REFUSED,
    }
    if (seen := told.get(type(error))) is not None:
        return Look(seen, str(error))
    seen = Seen.NAME_UNKNOWN if isinstance(error, NameUnknown) else Seen.UNREACHABLE
    return Look(seen, _reason(error))


def _welcome(stream: DeadlineStream) -> Look:
    """See whether the host stays: it may refuse our certificate after the handshake."""
    secured = stream.get_extra_info("ssl_object")
    # Read now: of a connection that the host has closed it cannot be read any more.
    of_peer = {"version": secured.version() or "", "certificate": secured.getpeercert()}
    try:
        with Deadline(WELCOME_SECONDS):
            early = stream.read(1)
    except httpcore.TimeoutException:
        return Look(Seen.READY, **of_peer)
    except TlsRefused as error:
        return Look(Seen.REFUSED, str(error), **of_peer)
    except (TlsAlert, httpcore.NetworkError) as error:
        return Look(Seen.LEFT, _reason(error), **of_peer)
    return Look(Seen.SPOKE_FIRST if early else Seen.LEFT, **of_peer)


def _reason(error: Exception) -> str:
    """Return what the system said, without its number."""
    cause = error.__cause__
    said = getattr(cause, "strerror", None) or getattr(cause, "reason", None)
    return said if isinstance(said, str) and said else str(error)

"""
The tunnel through an egress proxy: `CONNECT` (RFC 9110, section 9.3.6).

All traffic goes through a tunnel: of a request, the proxy learns the host and the port, and never
a header or a body. Whatever goes wrong before the tunnel is open is `ProxyFailed`: the host was
sent nothing.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from ssl import SSLContext

import httpcore

from worker.net.errors import NameUnknown, ProxyFailed, TlsFailed, TlsRefused, TlsUntrusted
from worker.net.proxy import Proxy
from worker.net.stream import DeadlineStream

MOST_BYTES = 16 * 1024
"""The longest head of a proxy's answer."""
_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[ \r]")
_WANTS_A_USER = (401, 407)
"""The second is the right one; some say the first."""
_REFUSES = 403
_CANNOT_REACH = (500, 502, 503, 504)


def open_tunnel(
    stream: DeadlineStream, proxy: Proxy, *, context: SSLContext | None, host: str, port: int
) -> DeadlineStream:
    """
    Return a connection to a host through the proxy at the other end of `stream`.

    `context` is for a proxy that speaks TLS itself. The stream is closed if that fails.
    """
    try:
        if context is not None:
            stream = stream.start_tls(context, proxy.host)
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        stream.send(_request(target, proxy))
        _check(_status(stream, proxy), target, proxy)
    except BaseException:
        stream.close()
        raise
    return stream


@contextmanager
def faults_of(proxy: Proxy) -> Iterator[None]:
    """Raise `ProxyFailed` for whatever goes wrong in the block."""
    try:
        yield
    except NameUnknown as error:
        raise ProxyFailed(f"its name {proxy.host} could not be resolved") from error
    except TlsUntrusted as error:
        text = f"{proxy.name} cannot prove its name (check proxy_ca_bundle): {error}"
        raise ProxyFailed(text) from error
    except TlsRefused as error:
        text = f"{proxy.name} wants a client certificate, and a proxy is sent none"
        raise ProxyFailed(text) from error
    except TlsFailed as error:
        text = f"{proxy.name} does not speak TLS with us: try http:// in its address ({error})"
        raise ProxyFailed(text) from error
    except httpcore.TimeoutException as error:
        raise ProxyFailed(f"{proxy.name} did not answer before the deadline") from error
    except httpcore.NetworkError as error:
        raise ProxyFailed(f"{proxy.name}: {error}") from error


def _request(target: str, proxy: Proxy) -> bytes:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _status(stream: DeadlineStream, proxy: Proxy) -> int:
    """Return the status of the proxy's answer; interim ones are passed over."""
    arrived = b""
    while True:
        while _END not in arrived:
            more = stream.read(MOST_BYTES)
            arrived += more
            if not more:
                raise ProxyFailed(f"{proxy.name} ended the connection without an answer")
            if len(arrived) > MOST_BYTES or not _may_be_http(arrived):
                raise ProxyFailed(f"{proxy.name} does not answer as an HTTP proxy does")
        head, _, arrived = arrived.partition(_END)
        found = _STATUS.match(head + b"\r")
        if found is None:
            raise ProxyFailed(f"{proxy.name} does not answer as an HTTP proxy does")
        if (status := int(found[1])) >= 200:  # noqa: PLR2004 - 1xx is interim
            break
    if arrived and status < 300:  # noqa: PLR2004 - a refusal has a body, which nobody reads
        raise ProxyFailed(f"{proxy.name} sent something before it was asked for anything")
    return status


def _may_be_http(beginning: bytes) -> bool:
    return beginning[:7] == b"HTTP/1."[: len(beginning)]


def _check(status: int, target: str, proxy: Proxy) -> None:
    """Raise `ProxyFailed` unless the tunnel is open; the proxy's own words are not quoted."""
    if 200 <= status < 300:  # noqa: PLR2004 - every 2xx opens the tunnel
        return
    if status in _WANTS_A_USER:
        why = "it asks who we are: put a user and a password into proxy_url"
        if proxy.authorization is not None:
            why = "it does not take the user and the password of proxy_url"
    elif status == _REFUSES:
        why = f"it does not let us go to {target}: ask its owner to allow it"
    elif status in _CANNOT_REACH:
        why = f"it cannot reach {target}"
    else:
        why = f"it opens no tunnel to {target}"
    raise ProxyFailed(f"{proxy.name} answered {status}: {why}")

"""Opens connections for the HTTP library: directly, or through an egress proxy."""

import socket
from collections.abc import Iterable
from ssl import SSLContext

import httpcore

from worker.net.dialing import Dialer
from worker.net.errors import translated_errors
from worker.net.proxy import Proxy
from worker.net.stream import DeadlineStream
from worker.net.tls import context_for_bundle
from worker.net.tunnel import faults_of, open_tunnel


class DeadlineBackend(httpcore.NetworkBackend):
    """
    Opens connections that always obey the running `Deadline`.

    The HTTP library asks it for a TCP connection, and puts TLS and a request on that. So a tunnel
    is nothing that it could tell from a direct connection: there is no other way of using a proxy.
    """

    def __init__(self, proxy: Proxy | None = None) -> None:
        """Raises `TlsFilesUnusable` if the proxy's CA bundle cannot be used."""
        self._proxy = proxy
        self._dialer = Dialer()
        self._proxy_context: SSLContext | None = None
        if proxy is not None and proxy.is_tls:
            self._proxy_context = context_for_bundle(proxy.ca_bundle, name="proxy_ca_bundle")

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline replaces it
        local_address: str | None = None,  # noqa: ARG002 - never set by us
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - the same
    ) -> DeadlineStream:
        """Return a connection to `host`, through the proxy if it serves that host."""
        if self._proxy is None or not self._proxy.serves(host):
            return self._connect(host, port)
        with faults_of(self._proxy):
            stream = self._connect(self._proxy.host, self._proxy.port)
            context = self._proxy_context
            return open_tunnel(stream, self._proxy, context=context, host=host, port=port)

    def _connect(self, host: str, port: int) -> DeadlineStream:
        with translated_errors(httpcore.ConnectTimeout, httpcore.ConnectError):
            connection = self._dialer.dial(host, port)
            # The request is sent in two writes; Nagle's algorithm would delay the second.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return DeadlineStream(connection)

"""TLS in front of a plain server, as a load balancer or a managed service has it."""

import select
import socket
import ssl
import threading
from contextlib import suppress
from typing import Self

from tests.bank.tls_files import server_context


class TlsFront:
    """Takes connections with one of the bank tests' certificates and passes them on to a port."""

    def __init__(self, port: int, certificate: str = "server.pem") -> None:
        self._to = port
        self._context = server_context(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(raw,), daemon=True).start()

    def _join(self, raw: socket.socket) -> None:
        with (
            suppress(OSError),
            raw,
            self._context.wrap_socket(raw, server_side=True) as near,
            socket.create_connection(("127.0.0.1", self._to)) as far,
        ):
            _pass_on(near, far)


def _pass_on(near: ssl.SSLSocket, far: socket.socket) -> None:
    """
    Pass on what comes from either side until one of them ends; then both do.

    One thread does both ways: a connection under TLS may not be read and written at once.
    """
    while True:
        ready = [near] if near.pending() else select.select([near, far], [], [])[0]
        for source in ready:
            if not (arrived := source.recv(65536)):
                return
            (far if source is near else near).sendall(arrived)

"""TLS in front of a plain server, as a load balancer or a managed service has it."""

import socket
import threading
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
        try:
            near = self._context.wrap_socket(raw, server_side=True)
        except OSError:
            raw.close()
            return
        far = socket.create_connection(("127.0.0.1", self._to))
        threading.Thread(target=self._pump, args=(far, near), daemon=True).start()
        self._pump(near, far)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()

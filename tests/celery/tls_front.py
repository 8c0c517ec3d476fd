"""TLS in front of a plain Redis, as a proxy or a managed service has it."""

import socket
import threading

from tests.bank.tls_files import server_context
from tests.celery.parts import RedisServer


class TlsFront:
    """Takes connections with one of the bank tests' certificates and passes them on."""

    def __init__(self, server: RedisServer, certificate: str) -> None:
        self.server = server
        self.context = server_context(certificate)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(raw,), daemon=True).start()

    def _join(self, raw: socket.socket) -> None:
        try:
            near = self.context.wrap_socket(raw, server_side=True)
        except OSError:
            return
        far = socket.create_connection(("127.0.0.1", self.server.port))
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

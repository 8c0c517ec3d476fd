"""The listening socket and one thread per connection."""

import contextlib
import socket
import ssl
import threading

from worker.sandbox import wire
from worker.sandbox.bank import Bank
from worker.sandbox.connection import ClientLeft, Connection, Stopping, shut_down_and_drain
from worker.sandbox.control import Control

_BACKLOG = 4096
_HANDSHAKE_SECONDS = 10.0


class Server:
    """Accepts connections, reads requests, and passes them to the bank or to the control API."""

    def __init__(
        self, bank: Bank, control: Control, *, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._bank = bank
        self._control = control
        self._ssl_context = ssl_context
        self._stopping = threading.Event()
        self._open = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._threads: set[threading.Thread] = set()
        self._listener: socket.socket | None = None
        self._acceptor = threading.Thread(target=self._accept, name="sandbox", daemon=True)
        self.address = ("", 0)
        # The names of unexpected exceptions in the bank itself, for tests.
        self.faults: list[str] = []

    def start(self, host: str, port: int) -> None:
        """Bind the port and start to listen."""
        self.address = (host, port)
        self.listen()
        self._acceptor.start()

    def listen(self) -> None:
        """Open the port, unless it is open."""
        with self._lock:
            if self._listener is not None:
                return
            family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(self.address)
                listener.listen(_BACKLOG)
            except OSError:
                listener.close()
                raise
            self.address = listener.getsockname()[:2]
            self._listener = listener
            self._open.set()

    def refuse(self) -> None:
        """Close the port, and every idle connection."""
        with self._lock:
            listener, self._listener = self._listener, None
            self._open.clear()
            idle = [connection for connection in self._connections if connection.idle]
        if listener is not None:
            with contextlib.suppress(OSError):
                # A close alone would not end the accepting thread, and so keep the port open.
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in idle:
            connection.interrupt()

    def stop(self) -> None:
        """Stop listening, end every connection, and wait for its thread."""
        self._stopping.set()
        self.refuse()
        self._open.set()
        with self._lock:
            connections, threads = list(self._connections), list(self._threads)
        for connection in connections:
            connection.interrupt()
        for thread in (self._acceptor, *threads):
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(timeout=5)

    def _accept(self) -> None:
        while self._open.wait() and not self._stopping.is_set():
            listener = self._listener
            if listener is None:
                continue
            try:
                sock, _ = listener.accept()
            except OSError:
                # The port was closed, or there is no file descriptor left for a moment.
                self._stopping.wait(0.005)
                continue
            thread = threading.Thread(target=self._serve_connection, args=(sock,), daemon=True)
            with self._lock:
                self._threads.add(thread)
            thread.start()

    def _serve_connection(self, sock: socket.socket) -> None:
        connection = None
        try:
            connection = self._connection(sock)
            if connection is not None:
                self._serve(connection)
        except (ClientLeft, Stopping, wire.ConnectionClosed):
            pass
        except Exception as error:  # noqa: BLE001 - our own fault is kept, and ends only one connection
            self.faults.append(type(error).__name__)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
                if connection is not None:
                    self._connections.discard(connection)
            if connection is not None:
                connection.close()

    def _connection(self, sock: socket.socket) -> Connection | None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._ssl_context is not None:
            secured = self._tls_handshake(sock, self._ssl_context)
            if secured is None:
                return None
            sock = secured
        connection = Connection(sock, self._stopping)
        with self._lock:
            self._connections.add(connection)
        return connection

    @staticmethod
    def _tls_handshake(sock: socket.socket, context: ssl.SSLContext) -> socket.socket | None:
        sock.settimeout(_HANDSHAKE_SECONDS)
        secured = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        try:
            secured.do_handshake()
        except OSError:
            with secured, contextlib.suppress(OSError):
                shut_down_and_drain(secured)
            return None
        secured.settimeout(None)
        return secured

    def _serve(self, connection: Connection) -> None:
        reader = wire.Reader(connection.receive, connection.send)
        while not self._stopping.is_set():
            connection.idle = True
            if self._listener is None:
                # The bank refuses connections now; refuse() closes those that become idle.
                return
            try:
                request = reader.request()
            except wire.ConnectionClosed:
                return
            except wire.WireError:
                connection.send(wire.head(400, {"Content-Length": "0", "Connection": "close"}))
                connection.close_after_answer()
                return
            connection.idle = False
            if not self._handle(request, connection) or not request.keep_alive:
                return

    def _handle(self, request: wire.Request, connection: Connection) -> bool:
        if not self._control.serves(request):
            return self._bank.handle(request, connection)
        status, content = self._control.answer(request)
        body = wire.as_json(content) + b"\n"
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        connection.send(wire.head(status, headers) + body)
        return True

"""The listening socket and one thread per connection."""

import contextlib
import socket
import ssl
import threading

from worker.sandbox import wire
from worker.sandbox.bank import Bank
from worker.sandbox.control import Control
from worker.sandbox.line import ClientLeft, Line, Stopping, last_words

_BACKLOG = 4096
_HANDSHAKE_SECONDS = 10.0


class Server:
    """Accepts connections, reads requests, and hands them to the bank or to its other door."""

    def __init__(
        self, bank: Bank, control: Control, *, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._bank = bank
        self._control = control
        self._ssl_context = ssl_context
        self._stopping = threading.Event()
        self._open = threading.Event()
        self._lock = threading.Lock()
        self._lines: set[Line] = set()
        self._threads: set[threading.Thread] = set()
        self._listener: socket.socket | None = None
        self._acceptor = threading.Thread(target=self._accept, name="sandbox", daemon=True)
        self.address = ("", 0)
        # What went wrong inside the bank itself: names of exceptions, for tests to look at.
        self.faults: list[str] = []

    def start(self, host: str, port: int) -> None:
        """Bind the port and begin to listen."""
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
        """Close the port, and every connection on which nothing is under way."""
        with self._lock:
            listener, self._listener = self._listener, None
            self._open.clear()
            idle = [line for line in self._lines if line.idle]
        if listener is not None:
            with contextlib.suppress(OSError):
                # A close alone would leave the accepting thread, and with it the port, waiting.
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for line in idle:
            line.wake()

    def stop(self) -> None:
        """Stop listening, end every conversation, and wait for its thread."""
        self._stopping.set()
        self.refuse()
        self._open.set()
        with self._lock:
            lines, threads = list(self._lines), list(self._threads)
        for line in lines:
            line.wake()
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
            thread = threading.Thread(target=self._attend, args=(sock,), daemon=True)
            with self._lock:
                self._threads.add(thread)
            thread.start()

    def _attend(self, sock: socket.socket) -> None:
        line = None
        try:
            line = self._line(sock)
            if line is not None:
                self._serve(line)
        except (ClientLeft, Stopping, wire.LineClosed):
            pass
        except Exception as error:  # noqa: BLE001 - a fault of ours is shown, and ends one line only
            self.faults.append(type(error).__name__)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
                if line is not None:
                    self._lines.discard(line)
            if line is not None:
                line.hang_up()

    def _line(self, sock: socket.socket) -> Line | None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._ssl_context is not None:
            secured = self._shake_hands(sock, self._ssl_context)
            if secured is None:
                return None
            sock = secured
        line = Line(sock, self._stopping)
        with self._lock:
            self._lines.add(line)
        return line

    @staticmethod
    def _shake_hands(sock: socket.socket, context: ssl.SSLContext) -> socket.socket | None:
        sock.settimeout(_HANDSHAKE_SECONDS)
        secured = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        try:
            secured.do_handshake()
        except OSError:
            with secured, contextlib.suppress(OSError):
                last_words(secured)
            return None
        secured.settimeout(None)
        return secured

    def _serve(self, line: Line) -> None:
        reader = wire.Reader(line.receive, line.send)
        while not self._stopping.is_set():
            line.idle = True
            if self._listener is None:
                # The bank refuses by now; whoever is idle from here on is told by refuse().
                return
            try:
                request = reader.request()
            except wire.LineClosed:
                return
            except wire.WireError:
                line.send(wire.head(400, {"Content-Length": "0", "Connection": "close"}))
                line.part()
                return
            line.idle = False
            if not self._handle(request, line) or not request.keep_alive:
                return

    def _handle(self, request: wire.Request, line: Line) -> bool:
        if not self._control.serves(request):
            return self._bank.converse(request, line)
        status, content = self._control.answer(request)
        body = wire.as_json(content) + b"\n"
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        line.send(wire.head(status, headers) + body)
        return True

"""A bank on a real loopback socket, which does on each connection what a test tells it to."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Self

from tests.servers.waiting import LIMIT
from worker.domain.kplus import CancelRequest

REQUEST = CancelRequest(
    partner_txn_uid="RGH001030118001",
    partner_id="KP2XXX000033159",
    token_id="KP2XXX00003315900BBC3C374D644DE9F2BA5CDC189C27B",
    reference1="order-1",
)
CANCELLED = (
    b'{"partnerId":"KP2XXX000033159","partnerTxnUid":"RGH001030118001","errorCode":null,'
    b'"errorDesc":null,"statusCode":"00","tokenList":[{"tokenId":'
    b'"KP2XXX00003315900BBC3C374D644DE9F2BA5CDC189C27B","reference1":"order-1",'
    b'"status":"CANCELLED"}]}'
)


def http(
    body: bytes = CANCELLED,
    *,
    status: str = "200 OK",
    headers: Iterable[str] = ("Content-Type: application/json",),
) -> bytes:
    """Return a whole HTTP answer, as it stands on the wire."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class Conversation:
    """One connection, seen from the bank's side."""

    def __init__(self, peer: "Peer", line: socket.socket) -> None:
        self.peer = peer
        self.line = line

    def hear(self) -> bytes:
        """Return the next whole request, empty when the caller has hung up."""
        head, rest = self._until_blank_line()
        length = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
        missing = int(length[1]) - len(rest) if length else 0
        while missing > 0 and (more := self.line.recv(missing)):
            rest += more
            missing -= len(more)
        if not head or missing > 0:
            return b""
        whole = head + rest
        self.peer.requests.append(whole)
        return whole

    def _until_blank_line(self) -> tuple[bytes, bytes]:
        heard = b""
        while b"\r\n\r\n" not in heard:
            heard += (more := self.line.recv(65536))
            if not more:
                return b"", b""
        end = heard.index(b"\r\n\r\n") + 4
        return heard[:end], heard[end:]

    def say(self, words: bytes) -> None:
        self.line.sendall(words)

    def drip(self, words: bytes, *, pause: float = 0.05) -> None:
        """Send one byte at a time, as a server does that holds its callers."""
        for byte in words:
            if self.peer.closing.wait(pause):
                return
            self.line.sendall(bytes([byte]))

    def wait(self) -> None:
        """Say nothing until the peer is closed or the caller hangs up."""
        self.line.settimeout(0.05)
        while not self.peer.closing.is_set():
            with suppress(TimeoutError):
                if not self.line.recv(65536):
                    return


Play = Callable[[Conversation], object]


def answering(*answers: bytes) -> Play:
    """Answer each request of a connection with the next answer, the last one for ever."""

    def play(talk: Conversation) -> None:
        for answer in answers[:-1]:
            talk.hear()
            talk.say(answer)
        while talk.hear():
            talk.say(answers[-1])

    return play


def hearing_then(*acts: Play) -> Play:
    """Take the request, then act."""
    return in_turn(Conversation.hear, *acts)


def in_turn(*acts: Play) -> Play:
    """Do one thing after the other on a connection."""

    def play(talk: Conversation) -> None:
        for act in acts:
            act(talk)

    return play


def saying(words: bytes) -> Play:
    """Send these words."""
    return lambda talk: talk.say(words)


def one_each(*plays: Play) -> Play:
    """Play the first on the first connection, the second on the second, and so on."""
    coming = iter(plays)

    def play(talk: Conversation) -> None:
        next(coming)(talk)

    return play


class Peer:
    """Listens on a free port of the loopback; every connection has a thread of its own."""

    def __init__(self, play: Play, *, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.closing = threading.Event()
        self._play = play
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._lines: list[socket.socket] = []
        self._doorman = threading.Thread(target=self._listen)
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        host = "localhost" if self._context else "127.0.0.1"
        return (
            f"http{'s' if self._context else ''}://{host}:{self.port}/v1/kplus/payment/cancel-token"
        )

    def __enter__(self) -> Self:
        self._doorman.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        _hang_up(self._listener)
        self._doorman.join()
        for line in self._lines:
            _hang_up(line)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):  # the listener is shut down at the end
            while True:
                line, _ = self._listener.accept()
                self.connections += 1
                self._lines.append(line)
                thread = threading.Thread(target=self._serve, args=(line,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, line: socket.socket) -> None:
        line.settimeout(LIMIT)
        with suppress(OSError), line:
            if self._context is None:
                self._play(Conversation(self, line))
                return
            with self._context.wrap_socket(line, server_side=True) as secured:
                self._lines.append(secured)
                self._play(Conversation(self, secured))


def _hang_up(line: socket.socket) -> None:
    """Wake whoever waits on this socket."""
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)

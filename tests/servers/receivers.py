"""An order system that receives webhooks: a small HTTP server that does as it is told."""

import base64
import hashlib
import hmac
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

import pytest

from tests.servers.waiting import LIMIT

SECRET: Final = "whsec_" + base64.b64encode(b"canary: of the order system, new").decode()
OLD_SECRET: Final = "whsec_" + base64.b64encode(b"canary: of the order system, old").decode()


@dataclass(frozen=True, slots=True)
class Post:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    def signed_with(self, secret: str) -> bool:
        """Verify as the specification tells a receiver to, without a line of ours."""
        key = base64.b64decode(secret.split("_", 1)[1])
        told = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        mine = base64.b64encode(hmac.new(key, told, hashlib.sha256).digest()).decode()
        versions = [each.split(",", 1) for each in self.headers["webhook-signature"].split(" ")]
        return any(v == "v1" and hmac.compare_digest(mine, theirs) for v, theirs in versions)


Answer = tuple[int, dict[str, str]]
TAKEN: Final[Answer] = (204, {})


class Receiver:
    """Listens on one port for as long as it lives; `down` and `up` are its restarts."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answer: Callable[[Post], Answer] = lambda _post: TAKEN
        self.free = threading.Event()
        """Cleared, every request that `hangs` hangs until it is set again."""
        self.hangs: Callable[[Post], bool] = lambda _post: True
        self.free.set()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/outcomes"

    def taken(self) -> Counter[str]:
        """Return how often each event was answered with 2xx."""
        return Counter(post.id for post in self.posts if 200 <= self.answer(post)[0] < 300)

    def up(self) -> None:
        if self._server is None:
            self._server = _Server(("127.0.0.1", self._port), self._handler())
            self._port = self._server.server_address[1]
            threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.free.set()
        self.down()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                names = {name.lower(): value for name, value in self.headers.items()}
                post = Post(self.path, names, body)
                receiver.posts.append(post)
                if receiver.hangs(post):
                    receiver.free.wait(LIMIT)
                status, headers = receiver.answer(post)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    # Of the usual five, a batch of eight that comes at once would lose some to a full line.
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Whoever hung up has its reasons."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server

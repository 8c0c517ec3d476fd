"""HTTP/1.1, read and written without a library: faults need control of every byte."""

import http
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES = 4_194_304
_REQUEST_LINE = re.compile(r"([A-Z]+) (\S+) HTTP/1\.([01])\Z")


class WireError(Exception):
    """The received bytes are not HTTP that this server can read."""


class ConnectionClosed(WireError):
    """The client closed the connection, between two requests or within one."""


@dataclass(slots=True)
class Request:
    """One request. Its `repr` never shows headers and body, which hold secrets."""

    method: str
    path: str
    query: dict[str, str]
    keep_alive: bool
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


class Reader:
    """Reads requests from a stream of bytes, one after the other."""

    def __init__(self, receive: Callable[[], bytes], send: Callable[[bytes], None]) -> None:
        self._receive = receive
        self._send = send
        self._buffer = b""

    def request(self) -> Request:
        """Return the next request. Raises `WireError`."""
        request = _read_head(self._until(b"\r\n\r\n", MAX_HEAD_BYTES))
        if request.headers.get("expect", "").lower() == "100-continue":
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.body = self._body(request.headers)
        return request

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        length = headers.get("content-length", "0")
        if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > MAX_BODY_BYTES:
            raise WireError
        return self._exactly(int(length))

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            size = self._until(b"\r\n", MAX_HEAD_BYTES).partition(b";")[0]
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,7}", size) or len(body) > MAX_BODY_BYTES:
                raise WireError
            chunk = self._exactly(int(size, 16) + 2)[:-2]
            if not chunk:
                return bytes(body)
            body += chunk

    def _until(self, mark: bytes, longest: int) -> bytes:
        while mark not in self._buffer:
            if len(self._buffer) > longest:
                raise WireError
            self._more()
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._more()
        found, self._buffer = self._buffer[:length], self._buffer[length:]
        return found

    def _more(self) -> None:
        received = self._receive()
        if not received:
            raise ConnectionClosed
        self._buffer += received


def head(status: int, headers: dict[str, str]) -> bytes:
    """Return a status line and headers, including the empty line."""
    lines = [f"HTTP/1.1 {status} {reason(status)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def as_json(content: object) -> bytes:
    """Return JSON as the bank writes it: UTF-8, with as few escapes as possible."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def json_object(body: bytes) -> dict[str, object] | None:
    """Return the JSON object of a body, or None if it is none."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def reason(status: int) -> str:
    """Return the reason phrase of a status, also of a non-standard one."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unheard Of"


def _read_head(text: bytes) -> Request:
    first, *lines = text.decode("latin-1").lstrip("\r\n").split("\r\n")
    matched = _REQUEST_LINE.match(first)
    if matched is None:
        raise WireError
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise WireError
        headers[name.strip().lower()] = value.strip()
    method, target, minor = matched.groups()
    url = urlsplit(target)
    query = {key: values[-1] for key, values in parse_qs(url.query).items()}
    wanted = headers.get("connection", "").lower()
    keep_alive = wanted != "close" and (minor == "1" or wanted == "keep-alive")
    return Request(method, unquote(url.path), query, keep_alive, headers)

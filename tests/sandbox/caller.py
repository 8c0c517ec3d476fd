"""A partner that knows nothing but sockets: no client library smooths over what the bank does."""

import http.client
import json
import socket
import time
from dataclasses import dataclass
from typing import Any, Self

from tests.servers.waiting import LIMIT

CANCEL = "/v1/kplus/payment/cancel-token"
INQUIRE = "/v1/kplus/payment/inquire-token"
PARTNER = "KP2XXX000033159"
SECRET = "canary-S1AyQ0ZCMDAwMDMzMTU5"


@dataclass
class Heard:
    """One answer, as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> Any:
        return self.json["errorCode"]

    @property
    def token_status(self) -> Any:
        answer = self.json
        if answer.get("tokenList"):
            return answer["tokenList"][0]["status"]
        return answer.get("paymentStatus")


def content(token: str, uid: str, **changes: Any) -> dict[str, Any]:
    body = {
        "partnerTxnUid": uid,
        "partnerId": PARTNER,
        "partnerSecret": SECRET,
        "requestDt": int(time.time()),
        "tokenId": token,
        "reference1": "order-1",
    }
    return {key: value for key, value in (body | changes).items() if value is not None}


def headers(**changes: str | None) -> dict[str, str]:
    usual = {"Content-Type": "application/json", "Partner-Id": PARTNER, "Partner-Secret": SECRET}
    wanted = usual | {key.replace("_", "-"): value for key, value in changes.items()}
    return {key: value for key, value in wanted.items() if value is not None}


def request(path: str, body: bytes, sent: dict[str, str] | None = None) -> bytes:
    """Return the bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: bank", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (sent or headers()).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def cancel_bytes(token: str, uid: str) -> bytes:
    return request(CANCEL, json.dumps(content(token, uid)).encode())


def until_closed(sock: socket.socket, longest: int = 1_000_000) -> bytes:
    """Return what comes until the bank closes the line, or until it was enough."""
    heard = b""
    while len(heard) < longest:
        data = sock.recv(65_536)
        if not data:
            break
        heard += data
    return heard


class Caller:
    """One keep-alive connection to the bank."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, port
        self.connection = http.client.HTTPConnection(host, port, timeout=LIMIT)
        self._uids = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def raw(self) -> socket.socket:
        """Return a connection of its own, for bytes by hand."""
        return socket.create_connection((self.host, self.port), timeout=LIMIT)

    def cancel(self, token: str, uid: str | None = None, **changes: Any) -> Heard:
        return self.call(CANCEL, content(token, uid or self._uid(), **changes))

    def inquire(self, token: str, uid: str | None = None, **changes: Any) -> Heard:
        body = content(token, uid or self._uid(), **changes)
        body.pop("reference1")
        return self.call(INQUIRE, body)

    def call(self, path: str, body: Any, sent: dict[str, str] | None = None) -> Heard:
        return self.send("POST", path, json.dumps(body).encode(), sent or headers())

    def get(self, path: str) -> Heard:
        return self.send("GET", path)

    def put(self, path: str, body: Any) -> Heard:
        return self.send("PUT", path, json.dumps(body).encode())

    def send(
        self, method: str, path: str, body: bytes = b"", sent: dict[str, str] | None = None
    ) -> Heard:
        try:
            self.connection.request(method, path, body, sent or {})
            answer = self.connection.getresponse()
            heard = Heard(answer.status, dict(answer.getheaders()), answer.read())
        except BaseException:
            self.connection.close()
            raise
        return heard

    def _uid(self) -> str:
        self._uids += 1
        return f"UID{self._uids:06}"

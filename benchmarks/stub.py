"""
A bank that costs nothing: it says at once, or after a while, that the token is cancelled.

It takes webhooks as well. Run as: stub.py LATENCY_SECONDS [ONE_IN]. One request in so many, by what
it asks, is never answered. It prints its port. It tells how often it was asked about the uids that
begin alike.
"""

import asyncio
import json
import sys
from collections import Counter, defaultdict
from zlib import crc32

Asked = defaultdict[str, Counter[str]]
"""How often each uid was asked about, by what stands before its first x: a turn of a contender."""


class Line(asyncio.Protocol):
    """One connection; the requests on it come one after another."""

    def __init__(self, latency: float, one_in: int, asked: Asked) -> None:
        self._asked = asked
        self._latency = latency
        self._one_in = one_in
        self._read = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        if not found:
            return
        length = _length(head)
        if len(body) < length:
            return
        self._read = body[length:]
        asked = json.loads(body[:length])
        if "counted" in asked:
            self._say(counted(self._asked[asked["counted"]]))
            return
        if uid := asked.get("partnerTxnUid"):
            self._asked[uid.partition("x")[0]][uid] += 1
        if self._one_in and hangs(asked, self._one_in):
            return
        told = answer_to(asked)
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._say, told)
        else:
            self._say(told)

    def _say(self, body: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            head = (
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            )
            self._transport.write(head % len(body) + body)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def hangs(asked: dict[str, str], one_in: int) -> bool:
    """Say whether a request is one of those that are never answered: always the same ones."""
    return crc32(asked.get("id", asked.get("partnerTxnUid", "")).encode()) % one_in == 0


def counted(turn: Counter[str]) -> bytes:
    """Return how many uids there were in a turn, and how many requests about them."""
    return json.dumps({"uids": len(turn), "posts": turn.total()}).encode()


def answer_to(asked: dict[str, str]) -> bytes:
    """Return what the bank says of a cancelled token; to an event that it was taken."""
    if "data" in asked:
        return b"{}"
    token = {
        "tokenId": asked["tokenId"],
        "reference1": asked["reference1"],
        "status": "CANCELLED",
    }
    envelope = {
        "partnerTxnUid": asked["partnerTxnUid"],
        "partnerId": asked["partnerId"],
        "statusCode": "00",
        "errorCode": None,
        "errorDesc": None,
        "tokenList": [token],
    }
    return json.dumps(envelope).encode()


async def main(latency: float, one_in: int = 0) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    asked: Asked = defaultdict(Counter)
    server = await loop.create_server(
        lambda: Line(latency, one_in, asked), "127.0.0.1", 0, backlog=512
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), *map(int, sys.argv[2:])))

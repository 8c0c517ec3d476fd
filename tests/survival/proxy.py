"""A TCP proxy that breaks on request: between a worker and a server, with nothing but sockets."""

import contextlib
import queue
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

from tests.servers.waiting import LIMIT, joined

HOST = "127.0.0.1"
PIECE = 65_536


class Caught:
    """A request or a reply that the proxy holds back because of what stands in it."""

    def __init__(self, pattern: bytes, *, after: bytes, reply: bool) -> None:
        self._pattern, self._after, self._reply = pattern, after, reply
        self._ripe: set[object] = set()
        self._there = threading.Event()

    @property
    def there(self) -> bool:
        """Whether one has been caught."""
        return self._there.is_set()

    def springs(self, link: object, piece: bytes, *, reply: bool) -> bool:
        """Say whether this piece of a link is what it waits for, and remember it; for the proxy."""
        if not reply and self._after in piece:
            self._ripe.add(link)
        if self.there or reply is not self._reply or link not in self._ripe:
            return False
        if self._pattern in piece:
            self._there.set()
        return self.there


class _Link:
    """A client's connection and the one to the server in its name."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.unsent = {client: bytearray(), server: bytearray()}
        self.ended: set[socket.socket] = set()
        self.deaf = False
        """Both ends believe in it, and nothing passes."""

    def other(self, end: socket.socket) -> socket.socket:
        return self.server if end is self.client else self.client

    def reset(self) -> None:
        """End it so that both ends see a reset, not an orderly end."""
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()


class Proxy:
    """
    Passes bytes on between its port and a server's, until it is told to fail.

    Every fault is in force when its method returns.
    """

    def __init__(self, server_port: int) -> None:
        self._server = (HOST, server_port)
        self._listener = socket.create_server((HOST, 0), backlog=512)
        self._listener.setblocking(False)  # noqa: FBT003 - socket's own signature
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._orders: queue.SimpleQueue[tuple[Callable[[], None], threading.Event]] = (
            queue.SimpleQueue()
        )
        self._bell, self._rung = socket.socketpair()
        self._links: set[_Link] = set()
        self.taken = 0
        """How many connections it has taken, those that are gone included."""
        self._traps: list[Caught] = []
        self._frozen = self._loses_replies = self._closing = False
        self._selector.register(self._rung, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def links(self) -> int:
        """How many connections there are now."""
        return len(self._links)

    def cut(self) -> None:
        """Reset every connection; new ones are taken."""
        self._do(self._cut)

    def down(self) -> None:
        """Reset every connection and take no other, as a server that is gone."""
        self._do(self._down)

    def up(self) -> None:
        """Listen again, on the same port."""
        self._do(self._up)

    def freeze(self) -> None:
        """Let connections stand, take new ones, and pass nothing on."""
        self._do(lambda: self._set(frozen=True))

    def thaw(self) -> None:
        """Pass on again, first of all what came meanwhile."""
        self._do(lambda: self._set(frozen=False))

    def lose_replies(self) -> None:
        """Deliver requests, throw each reply away and reset its connection."""
        self._do(lambda: self._set(loses_replies=True))

    def heal(self) -> None:
        """Let replies through again."""
        self._do(lambda: self._set(loses_replies=False))

    def orphan(self) -> None:
        """Make every connection half-open: each end believes in it, and hears nothing more."""
        self._do(self._orphan)

    def catch(self, pattern: bytes, *, after: bytes = b"", reply: bool = False) -> Caught:
        """
        Hold back the next request, or reply, in which the bytes stand, and its connection with it.

        With `after` only on a connection on which a request with those bytes went before.
        """
        caught = Caught(pattern, after=after, reply=reply)
        self._do(lambda: self._traps.append(caught))
        return caught

    def close(self) -> None:
        """End everything."""
        self._do(self._stop)
        joined(self._thread)
        for end in (self._bell, self._rung):
            end.close()

    def _do(self, order: Callable[[], None]) -> None:
        done = threading.Event()
        self._orders.put((order, done))
        self._bell.send(b"!")
        if not done.wait(LIMIT):
            raise TimeoutError("the proxy's thread is stuck")

    def _run(self) -> None:
        while not self._closing:
            for key, events in self._selector.select():
                if key.fileobj is self._rung:
                    self._obey()
                    # What was ready before may be gone now.
                    break
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._serve(key, events)

    def _obey(self) -> None:
        self._rung.recv(1)
        order, done = self._orders.get()
        order()
        done.set()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        self.taken += 1
        try:
            server = socket.create_connection(self._server, timeout=LIMIT)
        except OSError:
            client.close()
            return
        link = _Link(client, server)
        for end in (client, server):
            end.setblocking(False)  # noqa: FBT003
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._links.add(link)
        self._watch(link)

    def _watch(self, link: _Link) -> None:
        """Listen to the ends of a link for what can be done with it now, and to no more."""
        for end in (link.client, link.server):
            events = 0 if end in link.ended else selectors.EVENT_READ
            events |= selectors.EVENT_WRITE if link.unsent[end] else 0
            if self._frozen or link.deaf:
                events = 0
            known = self._selector.get_map().get(end)
            if known is not None and events:
                self._selector.modify(end, events, link)
            elif known is not None:
                self._selector.unregister(end)
            elif events:
                self._selector.register(end, events, link)

    def _serve(self, key: selectors.SelectorKey, events: int) -> None:
        link, end = key.data, key.fileobj
        if link not in self._links or not isinstance(end, socket.socket):
            return
        try:
            if events & selectors.EVENT_WRITE:
                del link.unsent[end][: end.send(link.unsent[end])]
            if events & selectors.EVENT_READ:
                self._read(link, end)
        except BlockingIOError:
            return
        except OSError:
            self._drop(link)
        if link in self._links:
            self._pass_ends_on(link)

    def _read(self, link: _Link, end: socket.socket) -> None:
        piece = end.recv(PIECE)
        if not piece:
            link.ended.add(end)
        elif end is link.server and self._loses_replies:
            self._drop(link)
        elif any(trap.springs(link, piece, reply=end is link.server) for trap in self._traps):
            link.deaf = True
        else:
            link.unsent[link.other(end)] += piece

    def _pass_ends_on(self, link: _Link) -> None:
        """Close a link whose one end has nothing more to say, once the other has heard it all."""
        if any(not link.unsent[link.other(end)] for end in link.ended):
            self._forget(link)
            for end in (link.client, link.server):
                end.close()
        else:
            self._watch(link)

    def _drop(self, link: _Link) -> None:
        self._forget(link)
        link.reset()

    def _forget(self, link: _Link) -> None:
        self._links.discard(link)
        for end in (link.client, link.server):
            if end in self._selector.get_map():
                self._selector.unregister(end)

    def _cut(self) -> None:
        for link in list(self._links):
            self._drop(link)

    def _down(self) -> None:
        if self._listener.fileno() >= 0:
            self._selector.unregister(self._listener)
        self._listener.close()
        self._cut()

    def _up(self) -> None:
        self._listener = socket.create_server((HOST, self.port), backlog=512)
        self._listener.setblocking(False)  # noqa: FBT003
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _set(self, *, frozen: bool | None = None, loses_replies: bool | None = None) -> None:
        self._frozen = self._frozen if frozen is None else frozen
        self._loses_replies = self._loses_replies if loses_replies is None else loses_replies
        for link in self._links:
            self._watch(link)

    def _orphan(self) -> None:
        for link in self._links:
            link.deaf = True
            self._watch(link)

    def _stop(self) -> None:
        self._closing = True
        self._down()
        self._selector.close()

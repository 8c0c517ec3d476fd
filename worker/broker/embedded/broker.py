"""One broker for each home: one process runs it, all use it, and another takes over."""

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from worker.broker.embedded.guarded import Guarded
from worker.broker.embedded.server import START_TIMEOUT_SECONDS, ServerAddress, start_server
from worker.errors import BrokerUnavailable
from worker.private import private_file, private_folder
from worker.telemetry.log import get_logger
from worker.telemetry.redaction import protect

URL_FILE = "broker.url"
"""It exists while a broker runs."""
ADDRESS_FILE = "broker.seat"
"""It stays, so that the next broker has the same port and open connections find it."""
LOCK_FILE = "broker.lock"
LOG_FILE = "broker.log"
_PORTS_TO_TRY = 3
_PAUSE_SECONDS = 0.02

log = get_logger(__name__)


def known_url(home: Path) -> str | None:
    """Return the URL of the broker that runs for a home, or None if none runs."""
    address = _read(home / URL_FILE)
    return address.url if address is not None else None


def ensure(home: Path) -> "EmbeddedBroker":
    """
    Return the broker of a home, and start it if none runs.

    Raises `BrokerUnavailable`, naming the remedy.
    """
    broker = EmbeddedBroker(home)
    broker.open()
    return broker


class EmbeddedBroker:
    """
    A private server on the loopback, shared by all processes of one home.

    The first process runs it. When that process ends, for any reason, the next `renew` of another
    starts a new server at the same URL. Queued messages are lost then, as at any restart: they are
    only hints. Threads may share it. In a forked child it does nothing.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._address: ServerAddress | None = None
        self._server: Guarded | None = None
        self._owner_pid = os.getpid()
        self._closed = False
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The URL, with the password. Raises `BrokerUnavailable` before `open`."""
        if self._address is None:
            raise BrokerUnavailable("the embedded broker is not open")
        return self._address.url

    @property
    def owned(self) -> bool:
        """Whether this process runs the server."""
        server = self._server
        return server is not None and os.getpid() == self._owner_pid and server.running

    @property
    def pid(self) -> int | None:
        """The server's process id, or None if another process runs it."""
        return self._server.pid if self._server is not None and self.owned else None

    def open(self) -> None:
        """Start the server, or find the one that runs. Raises `BrokerUnavailable`."""
        ends = time.monotonic() + START_TIMEOUT_SECONDS
        with self._lock:
            while not (self._start_or_explain() or self._join()):
                if time.monotonic() > ends:
                    raise BrokerUnavailable(
                        f"another process holds {self._home / LOCK_FILE}, "
                        "but no broker of its answers"
                    )
                time.sleep(_PAUSE_SECONDS)

    def renew(self) -> bool:
        """
        Take over if the process that ran the server has ended. Return False if no server runs.

        Cheap enough for once a second. It never raises: the next call tries again.
        """
        if os.getpid() != self._owner_pid:
            return True
        with self._lock:
            if self._closed or self.owned:
                return not self._closed
            try:
                return self._start_if_free() or self._follow()
            except (BrokerUnavailable, OSError) as error:
                log.warning("embedded_broker_not_renewed", reason=str(error))
                return False

    def stop(self) -> None:
        """End the server if this process runs it; others may take over."""
        if os.getpid() != self._owner_pid:
            return
        with self._lock:
            self._closed = True
            if self._server is not None:
                self._server.end()
                self._server = None

    def _start_or_explain(self) -> bool:
        try:
            return self._start_if_free()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise BrokerUnavailable(
                f"the embedded broker cannot use {self._home} ({reason}): "
                "set KPLUS_HOME to a folder that can be written, or KPLUS_BROKER_URL"
            ) from error

    def _start_if_free(self) -> bool:
        """Start the server. Return False if another process runs it."""
        private_folder(self._home)
        lock = private_file(self._home / LOCK_FILE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            self._start(lock)
            return True
        finally:
            # From now on only the guard holds the lock, until the server has ended.
            os.close(lock)

    def _start(self, lock: int) -> None:
        if self._server is not None:
            self._server.end()
        for address in self._addresses():
            server = start_server(
                address, log=self._empty_log(), hold=lock, remove=self._home / URL_FILE
            )
            if server is not None:
                self._server = server
                self._use(address)
                _write(self._home / ADDRESS_FILE, address)
                _write(self._home / URL_FILE, address)
                log.info("embedded_broker_started", port=address.port, server_pid=server.pid)
                return
        raise BrokerUnavailable("the embedded broker finds no free port on the loopback")

    def _addresses(self) -> list[ServerAddress]:
        """Return the addresses to try: the one that other processes know comes first."""
        known = self._address or _read(self._home / ADDRESS_FILE)
        return [
            *([known] if known else []),
            *(ServerAddress.choose() for _ in range(_PORTS_TO_TRY)),
        ]

    def _join(self) -> bool:
        """Use the server of another process. Return False if it does not answer."""
        address = _read(self._home / URL_FILE)
        if address is None or address.server_pid() is None:
            return False
        self._use(address)
        return True

    def _follow(self) -> bool:
        """Use the address of the process that runs the server now."""
        address = _read(self._home / URL_FILE)
        if address is not None:
            self._use(address)
        return address is not None

    def _use(self, address: ServerAddress) -> None:
        if self._address not in {None, address}:
            log.warning("embedded_broker_moved", port=address.port, advice="restart this process")
        protect([address.password])
        self._address = address

    def _empty_log(self) -> Path:
        """Empty the server's log and return its path: it belongs to the present server only."""
        path = self._home / LOG_FILE
        os.close(private_file(path, os.O_TRUNC))
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<EmbeddedBroker of {self._home}, {'run' if self.owned else 'used'} here>"


def _read(path: Path) -> ServerAddress | None:
    with suppress(OSError, UnicodeDecodeError):
        return ServerAddress.read(path.read_text(encoding="utf-8"))
    return None


def _write(path: Path, address: ServerAddress) -> None:
    """Replace the file in one step, readable by its owner alone."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        draft.unlink()
    handle = private_file(draft, os.O_EXCL)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(address.url + "\n")
    draft.replace(path)

"""One broker for one home: who runs it, who uses it, and who takes over."""

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from worker.broker.embedded.guarded import Guarded
from worker.broker.embedded.server import START_WITHIN, Seat, start_server
from worker.errors import BrokerUnavailable
from worker.telemetry.log import get_logger
from worker.telemetry.redaction import protect

URL_FILE = "broker.url"
"""There while a broker serves."""
SEAT_FILE = "broker.seat"
"""Stays, so that the next broker sits on the same port and open connections find it."""
LOCK_FILE = "broker.lock"
LOG_FILE = "broker.log"
_SEATS = 3
_PAUSE = 0.02

log = get_logger(__name__)


def known_url(home: Path) -> str | None:
    """Return the URL of the broker that serves a home, None where none does."""
    seat = _read(home / URL_FILE)
    return seat.url if seat is not None else None


def ensure(home: Path) -> "EmbeddedBroker":
    """
    Return the broker of a home, and run it where nobody does.

    Raises `BrokerUnavailable`, naming the remedy.
    """
    broker = EmbeddedBroker(home)
    broker.open()
    return broker


class EmbeddedBroker:
    """
    A private server on the loopback, shared by all processes of one home.

    The first process runs it; when that one ends, however it ends, the next `renew` of
    another runs a new one at the same URL. Queued messages are lost then, as with any
    restart: they are only hints. Safe to share between threads; a forked child has no
    part in it.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._seat: Seat | None = None
        self._server: Guarded | None = None
        self._master = os.getpid()
        self._closed = False
        self._turn = threading.Lock()

    @property
    def url(self) -> str:
        """The URL; it holds the password. Raises `BrokerUnavailable` before `open`."""
        if self._seat is None:
            raise BrokerUnavailable("the embedded broker is not open")
        return self._seat.url

    @property
    def owned(self) -> bool:
        """Whether this process runs the server."""
        server = self._server
        return server is not None and os.getpid() == self._master and server.running

    @property
    def pid(self) -> int | None:
        """The server's process id where this process runs it."""
        return self._server.pid if self._server is not None and self.owned else None

    def open(self) -> None:
        """Run the server, or find the one that runs. Raises `BrokerUnavailable`."""
        until = time.monotonic() + START_WITHIN
        with self._turn:
            while not (self._run_or_explain() or self._join()):
                if time.monotonic() > until:
                    raise BrokerUnavailable(
                        f"another process holds {self._home / LOCK_FILE}, "
                        "but no broker of its answers"
                    )
                time.sleep(_PAUSE)

    def renew(self) -> bool:
        """
        Take over where the process that ran the server is gone; tell whether all is well.

        Cheap enough for once a second. Never raises: the next call tries again.
        """
        if os.getpid() != self._master:
            return True
        with self._turn:
            if self._closed or self.owned:
                return not self._closed
            try:
                return self._run() or self._follow()
            except (BrokerUnavailable, OSError) as error:
                log.warning("embedded_broker_not_renewed", reason=str(error))
                return False

    def stop(self) -> None:
        """End the server if this process runs it; others may take over."""
        if os.getpid() != self._master:
            return
        with self._turn:
            self._closed = True
            if self._server is not None:
                self._server.end()
                self._server = None

    def _run_or_explain(self) -> bool:
        try:
            return self._run()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise BrokerUnavailable(
                f"the embedded broker cannot use {self._home} ({reason}): "
                "set KPLUS_HOME to a folder that can be written, or KPLUS_BROKER_URL"
            ) from error

    def _run(self) -> bool:
        """Run the server; False where another process does."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            self._start(lock)
            return True
        finally:
            # From here on only the guard holds the lock: it is free when the server is gone,
            # no sooner and no later.
            os.close(lock)

    def _start(self, lock: int) -> None:
        if self._server is not None:
            self._server.end()
        for seat in self._seats():
            server = start_server(
                seat, log=self._fresh_log(), hold=lock, remove=self._home / URL_FILE
            )
            if server is not None:
                self._server = server
                self._take(seat)
                _write(self._home / SEAT_FILE, seat)
                _write(self._home / URL_FILE, seat)
                log.info("embedded_broker_started", port=seat.port, server_pid=server.pid)
                return
        raise BrokerUnavailable("the embedded broker finds no free port on the loopback")

    def _seats(self) -> list[Seat]:
        """Return the seats to try: the one that other processes know comes first."""
        known = self._seat or _read(self._home / SEAT_FILE)
        return [*([known] if known else []), *(Seat.fresh() for _ in range(_SEATS))]

    def _join(self) -> bool:
        """Use the server of another process, if it answers."""
        seat = _read(self._home / URL_FILE)
        if seat is None or seat.occupant() is None:
            return False
        self._take(seat)
        return True

    def _follow(self) -> bool:
        """Keep to the seat of the process that runs the server now."""
        seat = _read(self._home / URL_FILE)
        if seat is not None:
            self._take(seat)
        return seat is not None

    def _take(self, seat: Seat) -> None:
        if self._seat not in {None, seat}:
            log.warning("embedded_broker_moved", port=seat.port, advice="restart this process")
        protect([seat.password])
        self._seat = seat

    def _fresh_log(self) -> Path:
        """Return the server's log, emptied: it holds the words of the present one only."""
        path = self._home / LOG_FILE
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<EmbeddedBroker of {self._home}, {'run' if self.owned else 'used'} here>"


def _read(path: Path) -> Seat | None:
    with suppress(OSError, UnicodeDecodeError):
        return Seat.read(path.read_text(encoding="utf-8"))
    return None


def _write(path: Path, seat: Seat) -> None:
    """Replace the file in one step, readable by its owner alone."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        draft.unlink()
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(seat.url + "\n")
    draft.replace(path)

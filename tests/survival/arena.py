"""Everything that runs in a scenario: servers, workers behind proxies, and the faults of each."""

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import ColumnElement, func, make_url, select

from tests.servers.brokers import RedisServer
from tests.servers.poolers import PgBouncer
from tests.servers.standbys import Pair
from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import COMMAND, PARTNER_ID, SECRET
from tests.survival.place import Addresses, Place
from tests.survival.proxy import Caught
from worker.errors import StoreUnavailable
from worker.sandbox import Rules, Sandbox
from worker.store import Store, open_database
from worker.store.schema.tables import JOBS

BANK_TAKES_MS = 50.0
NEIGHBOUR = "KP2NEIGHBOUR001"
"""Another partner that the bank knows. Its jobs are nobody's on the producer's list."""

# Seconds where production has minutes: the same rules, in a hurry.
SETTINGS: Mapping[str, str] = {
    "KPLUS_PARTNER_ID": PARTNER_ID,
    "KPLUS_PARTNER_SECRET": SECRET,
    "KPLUS_DEADLINE_SECONDS": "4",
    "KPLUS_LEASE_SECONDS": "10",
    "KPLUS_BACKOFF_BASE_SECONDS": "0.2",
    "KPLUS_BACKOFF_CAP_SECONDS": "1",
    "KPLUS_COOLDOWN_BASE_SECONDS": "0.2",
    "KPLUS_COOLDOWN_CAP_SECONDS": "0.5",
    "KPLUS_INQUIRY_BASE_SECONDS": "0.2",
    "KPLUS_SWEEP_SECONDS": "0.2",
    "KPLUS_CONCURRENCY": "8",
    # None of the faults is to exhaust a job.
    "KPLUS_MAX_ATTEMPTS": "1000",
}


class Arena:
    """
    The parts of one run. Whatever breaks something counts it in `faults`.

    Ended with the `with` block, whatever happened in it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database: str,
        pool: str = "threads",
        command: Sequence[str] = COMMAND,
        settings: Mapping[str, str] | None = None,
        pair: Pair | None = None,
        pooler: PgBouncer | None = None,
    ) -> None:
        self.faults: Counter[str] = Counter()
        self.places: dict[str, Place] = {}
        self.measured: dict[str, float] = {}
        self.gone: set[str] = set()
        """Places whose worker was ended on purpose."""
        self.folder, self._pool, self._command = folder, pool, command
        self._settings = {**SETTINGS, "KPLUS_HOME": str(folder / "home"), **(settings or {})}
        self.database, self.pair, self.pooler = database, pair, pooler
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            rules = Rules(latency_ms=BANK_TAKES_MS)
            secrets = dict.fromkeys((PARTNER_ID, NEIGHBOUR), SECRET)
            self.bank = stack.enter_context(Sandbox(secrets=secrets, rules=rules))
            self.redis = stack.enter_context(RedisServer(self.folder / "redis"))
            self.store = Store(open_database(self.database))
            stack.callback(self.store.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, *names: str, command: Sequence[str] | None = None, **settings: str) -> None:
        """Start a worker at each of these places, all at once; return when they take messages."""
        self.launch(*names, command=command, **settings)
        for name in names:
            self.places[name].process.wait_until_ready()

    def launch(self, *names: str, command: Sequence[str] | None = None, **settings: str) -> None:
        """Start a worker at each of these places; do not wait for them."""
        for name in names:
            self._place(name, command).launch({**self._settings, **settings}, "--pool", self._pool)
            self.gone.discard(name)

    def configure_partners(self, limits: Mapping[str, str]) -> None:
        """Let workers that start from now on serve these partners, each with its limits as TOML."""
        path = self.folder / "partners.toml"
        tables = (
            f"[partners.{name}]\nsecret = '{SECRET}'\n{limit}\n" for name, limit in limits.items()
        )
        path.write_text("".join(tables), encoding="ascii")
        for name in ("KPLUS_PARTNER_ID", "KPLUS_PARTNER_SECRET"):
            self._settings.pop(name, None)
        self._settings["KPLUS_PARTNERS_FILE"] = str(path)

    def _place(self, name: str, command: Sequence[str] | None) -> Place:
        if name not in self.places:
            real = Addresses(self.redis.url, self.database, self.bank.cancel_url)
            place = Place(name, self.folder, real, command or self._command)
            self._stack.callback(place.close)
            self.places[name] = place
        return self.places[name]

    @property
    def seated(self) -> list[Place]:
        """The places whose worker was not ended on purpose."""
        return [place for name, place in self.places.items() if name not in self.gone]

    def kill(self, name: str) -> None:
        """End a worker with SIGKILL."""
        self.fault("kill")
        self.gone.add(name)
        self.places[name].kill()

    def terminate(self, name: str) -> int:
        """End a worker with SIGTERM; return its exit code."""
        self.fault("SIGTERM")
        self.gone.add(name)
        return self.places[name].stop()

    def freeze(self, name: str) -> None:
        """
        Stop a worker with SIGSTOP, but not while it holds all of SQLite.

        That is the matter of a scenario of its own; here nobody else could even start.
        """
        self.fault("SIGSTOP")
        place = self.places[name]
        place.freeze()
        while self.store.database.is_sqlite and not self._is_free():
            place.thaw()
            self.pause(0.05)
            place.freeze()

    def _is_free(self) -> bool:
        """Say whether SQLite can be written now."""
        with closing(sqlite3.connect(make_url(self.database).database or "")) as connection:
            connection.execute("PRAGMA busy_timeout = 50")
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True

    def thaw(self, name: str) -> None:
        """Let a stopped worker go on."""
        self.places[name].thaw()

    def wait_for_a_call(self) -> None:
        """Return when the next POST has arrived: calls are under way then."""
        journal = self.bank.journal
        assert journal.wait_for_posts(len(journal) + 1, timeout=LIMIT), self.told()

    def wait_until_idle(self) -> None:
        """Return when every job that is stored has ended."""
        eventually(lambda: self.moving() == 0, saying=self.stacks)

    def caught(self, trap: Caught) -> None:
        """Wait until a trap has sprung."""
        eventually(lambda: trap.there, saying=self.told)

    @contextmanager
    def redis_away(self) -> Iterator[None]:
        """Stop Redis; start it again, with what it kept, at the end of the block."""
        self.fault("Redis restart")
        self.redis.stop()
        try:
            yield
        finally:
            self.redis.start()

    @contextmanager
    def redis_frozen(self) -> Iterator[None]:
        """Let Redis take connections and answer nobody."""
        self.fault("Redis frozen")
        self.redis.freeze()
        try:
            yield
        finally:
            self.redis.thaw()

    def flush_redis(self) -> None:
        """Let Redis forget everything."""
        self.fault("FLUSHALL")
        with self.redis.client() as client:
            client.flushall()

    @contextmanager
    def redis_told(self, fault: str, *, on: Sequence[str], off: Sequence[str]) -> Iterator[None]:
        """Give Redis a command that breaks it, and at the end one that mends it."""
        self.fault(fault)
        with self.redis.client() as client:
            client.execute_command(*on)
            try:
                yield
            finally:
                client.execute_command(*off)

    def lines(self, kind: str, act: str) -> None:
        """Do one act of the proxies to the lines of a kind, at every place."""
        for place in self.places.values():
            for line in place.lines if kind == "all" else [getattr(place, kind)]:
                getattr(line, act)()

    def fault(self, name: str) -> None:
        """Count a fault."""
        self.faults[name] += 1

    def rows(self) -> int:
        """Return how many of our jobs are stored; -1 where the database does not say."""
        return self._count()

    def moving(self) -> int:
        """Return how many of our jobs are not final yet; -1 where the database does not say."""
        return self._count(JOBS.finished_at.is_(None))

    def _count(self, *where: ColumnElement[bool]) -> int:
        ours = select(func.count()).where(JOBS.partner_id == PARTNER_ID, *where)
        try:
            return int(self.store.database.read(ours)[0][0])
        except StoreUnavailable:
            return -1

    def fallen(self) -> list[str]:
        """Return the places whose worker ended though nobody ended it."""
        return [place.name for place in self.seated if not place.process.running]

    def told(self) -> str:
        """Return the last words of every worker."""
        logs = ((place.name, place.process.told()) for place in self.places.values())
        return "\n".join(f"--- {name}:\n{told[-3000:]}" for name, told in logs)

    def stacks(self) -> str:
        """End the workers that still run; return where they stood, and their last words."""
        running = [place for place in self.places.values() if place.process.running]
        return "\n".join(f"--- {each.name}:\n{each.process.abort()[-60_000:]}" for each in running)

    def pause(self, seconds: float) -> None:
        """Let a fault last: not a wait for something to happen, but what happens."""
        threading.Event().wait(seconds)

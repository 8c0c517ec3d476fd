"""Scenarios in which Redis, or a line, is away, slow, full or deaf."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from tests.servers.waiting import LIMIT, eventually
from tests.survival.arena import SETTINGS, Arena
from tests.survival.controlled import COMMAND
from tests.survival.load import Load
from tests.survival.plan import Job, job

SLOTS = int(SETTINGS["KPLUS_CONCURRENCY"])
AWAY = 3.0
"""Seconds that an outage lasts, where its length is not the point."""


def restarted(
    busy: Callable[[int], int], *, controlled: bool = False
) -> Callable[[Arena, Load], None]:
    """
    Return the scenario of a Redis that restarts under a worker with so many slots busy.

    One worker alone: a second one would hide that the first has stopped moving. `controlled`
    is one that listens to remote control.
    """

    def play(arena: Arena, load: Load) -> None:
        arena.start("a", command=COMMAND if controlled else None)
        eventually(lambda: load.answers_remote_control() is controlled)
        # Until a partner has proved itself one call goes first: never all slots at once.
        load.store(load.jobs[0])
        arena.wait_until_idle()
        for turn, portion in enumerate(load.rounds(3)):
            held = _held(turn, busy(turn))
            load.jobs += held
            before = len(arena.bank.journal)
            for each in held:
                load.store(each)
            assert arena.bank.journal.wait_for_posts(before + len(held), timeout=LIMIT)
            with arena.redis_away():
                # They end, and are acknowledged, while Redis is away.
                for each in held:
                    arena.bank.release(each.token)
                arena.pause(AWAY)
            load.deliver(portion)
            arena.wait_until_idle()

    return play


def _held(turn: int, count: int) -> list[Job]:
    return [job("hold", 900_000 + 100 * turn + number) for number in range(count)]


def under_load(
    fault: Callable[[Arena], AbstractContextManager[object]],
    *,
    seconds: float = AWAY,
    times: int = 3,
) -> Callable[[Arena, Load], None]:
    """Return the scenario of a fault that comes over a loaded worker and goes, several times."""

    def play(arena: Arena, load: Load) -> None:
        arena.start("a")
        for portion in load.rounds(times):
            with load.delivering(portion):
                arena.wait_for_a_call()
                with fault(arena):
                    arena.pause(seconds)

    return play


def flushed(arena: Arena, load: Load) -> None:
    """Let Redis forget everything, again and again."""
    arena.start("a", "b")
    for portion in load.rounds(4):
        with load.delivering(portion):
            arena.wait_for_a_call()
            arena.flush_redis()


def read_only(arena: Arena) -> AbstractContextManager[None]:
    """Make Redis a replica of nobody: it serves, and refuses every write."""
    return arena.redis_told(
        "Redis read-only", on=["REPLICAOF", "127.0.0.1", "1"], off=["REPLICAOF", "NO", "ONE"]
    )


def full(arena: Arena) -> AbstractContextManager[None]:
    """Leave Redis no memory: it refuses every write."""
    return arena.redis_told(
        "Redis out of memory",
        on=["CONFIG", "SET", "maxmemory", "1"],
        off=["CONFIG", "SET", "maxmemory", "0"],
    )


def broken(
    kind: str, name: str, *, act: str, undo: str | None = None
) -> Callable[[Arena], AbstractContextManager[None]]:
    """Return the fault of the proxies of a kind."""

    @contextmanager
    def fault(arena: Arena) -> Iterator[None]:
        arena.fault(name)
        arena.lines(kind, act)
        try:
            yield
        finally:
            if undo is not None:
                arena.lines(kind, undo)

    return fault


def each(
    faults: Sequence[Callable[[Arena], AbstractContextManager[None]]], *, seconds: float
) -> Callable[[Arena, Load], None]:
    """Return the scenario of several faults, one after the other, each over a loaded worker."""

    def play(arena: Arena, load: Load) -> None:
        arena.start("a", "b")
        for fault, portion in zip(faults, load.portions(len(faults)), strict=True):
            with load.delivering(portion):
                arena.wait_for_a_call()
                with fault(arena):
                    arena.pause(seconds)

    return play


CONNECTIONS_RESET = each([broken("all", "connections reset", act="cut")] * 4, seconds=1)
HALF_OPEN = each(
    [
        broken("broker", "Redis deaf", act="orphan"),
        broken("bank", "bank deaf", act="orphan"),
        broken("broker", "Redis deaf", act="orphan"),
    ],
    seconds=1,
)
ANSWERS_LOST = each(
    [
        broken("bank", "bank's answers lost", act="lose_replies", undo="heal"),
        broken("all", "all answers lost", act="lose_replies", undo="heal"),
    ],
    seconds=3,
)
BANK_AWAY = each(
    [
        broken("bank", "bank refuses", act="down", undo="up"),
        broken("bank", "bank silent", act="freeze", undo="thaw"),
    ],
    seconds=5,
)
POSTGRESQL_FROZEN = each(
    [broken("database", "PostgreSQL frozen", act="freeze", undo="thaw")] * 2, seconds=10
)
POSTGRESQL_DEAF = each(
    [broken("database", "PostgreSQL deaf for good", act="orphan")] * 2, seconds=1
)
WORD_LOST = each(
    [broken("database", "PostgreSQL's answers lost", act="lose_replies", undo="heal")] * 3,
    seconds=2,
)

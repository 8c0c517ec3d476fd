"""The table of scenarios: what is broken, on which database, with which pool, and how briefly."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.survival import databases, deaths, hail, outages, programs, strays, traffic, ways_out
from tests.survival.arena import Arena
from tests.survival.deaths import STEPS, killed_at
from tests.survival.load import Load
from tests.survival.outages import SLOTS, restarted, under_load
from tests.survival.remarks import Remark

SQLITE, POSTGRESQL = "sqlite", "postgresql"
STANDBY = "postgresql and a standby"
POOLER = "postgresql behind PgBouncer"
THREADS, PREFORK = "threads", "prefork"
Ground = tuple[str, str]

BOTH: tuple[Ground, ...] = ((POSTGRESQL, THREADS), (SQLITE, PREFORK))
ALL: tuple[Ground, ...] = (*BOTH, (POSTGRESQL, PREFORK), (SQLITE, THREADS))
BOTH_THREADS: tuple[Ground, ...] = ((POSTGRESQL, THREADS), (SQLITE, THREADS))
WITH_A_STANDBY: tuple[Ground, ...] = ((STANDBY, THREADS), (STANDBY, PREFORK))
BEHIND_A_POOLER: tuple[Ground, ...] = ((POOLER, THREADS), (POOLER, PREFORK))
ON_POSTGRESQL: tuple[Ground, ...] = ((POSTGRESQL, THREADS), (POSTGRESQL, PREFORK))


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    One way to break things.

    `forgetful` says that Redis may lose messages: a client that cannot see the table then
    sends again what it hears nothing of. `brief` are the grounds on which `./dev test` plays it,
    `remark` what else its line says, and must hold. `rate` is in jobs a second; `patience` are the
    seconds for the last job to end after the last fault: on a quiet machine it takes twenty.
    `stall` are the most seconds in which nothing may move, where the fault stops nobody. One that
    is `timed` is held to a time, and so nothing else is played beside it.
    """

    name: str
    play: Callable[[Arena, Load], None]
    grounds: tuple[Ground, ...] = BOTH
    brief: tuple[Ground, ...] = ()
    forgetful: bool = False
    remark: Callable[[Arena, Load], Remark] | None = None
    jobs: int = 240
    rate: float = 40.0
    patience: float = 150.0
    stall: float | None = None
    timed: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A scenario on one ground."""

    scenario: Scenario
    database: str
    pool: str

    @property
    def name(self) -> str:
        """What the run is called in the table."""
        return f"{self.scenario.name} ({self.database}, {self.pool})"

    @property
    def is_brief(self) -> bool:
        """Whether `./dev test` plays it."""
        return (self.database, self.pool) in self.scenario.brief


def _killed_at_each_step() -> Iterator[Scenario]:
    for step in STEPS:
        grounds = BOTH if step.on_sqlite else ((POSTGRESQL, THREADS),)
        brief = ((POSTGRESQL, THREADS),) if "all written" in step.name else ()
        yield Scenario(
            f"worker killed {step.name}", killed_at(step), grounds, brief, forgetful=True
        )


def _restarts_under_remote_control() -> Iterator[Scenario]:
    """Celery 5.7 alone ends there where a slot is free and another is busy."""
    for busy, slots in ((0, "slots idle"), (SLOTS, "all slots busy"), (1, "one slot busy")):
        play = restarted(lambda _, busy=busy: busy, controlled=True)  # type: ignore[misc]
        yield Scenario(f"Redis restarts, {slots}, remote control on", play)


MOST_STALL = 3.0
"""Seconds; what one row, one message or one neighbour does must not hold the others for longer."""


def _strays() -> Iterator[Scenario]:
    """One row, one message or one neighbour must not stop the rest."""
    plays = {
        "rows with expiries that nothing can read": strays.unreadable_rows,
        "rows with uids that no request can carry": strays.unsendable_uids,
        "messages that are slow to search": strays.slow_texts,
        "messages that grow when unpacked": strays.bombs,
        "a neighbour's backlog, a hundred idle partners": strays.neighbours,
    }
    for name, play in plays.items():
        yield Scenario(name, play, stall=MOST_STALL, timed=True)


SCENARIOS = (
    Scenario("nothing is broken", deaths.calm),
    *_killed_at_each_step(),
    Scenario("rolling SIGTERM", deaths.rolling(deaths.terminated)),
    Scenario("rolling SIGKILL", deaths.rolling(Arena.kill), ALL, forgetful=True),
    Scenario(
        "SIGKILL after SIGKILL for five minutes",
        hail.hail,
        ((POSTGRESQL, THREADS),),
        forgetful=True,
        remark=hail.flat,
        jobs=hail.JOBS,
        rate=hail.RATE,
        patience=600,
    ),
    Scenario("SIGSTOP, messages, SIGKILL", deaths.forgotten, forgetful=True),
    Scenario(
        "a worker wakes after its lease", deaths.stale, BOTH_THREADS, brief=((SQLITE, THREADS),)
    ),
    Scenario("four sweeps at once, workers asleep", deaths.asleep, BOTH_THREADS),
    Scenario(
        "clocks an hour fast and an hour slow",
        deaths.clocks,
        ((POSTGRESQL, THREADS),),
        forgetful=True,
    ),
    Scenario("clocks jump by an hour and back", deaths.jumping, ON_POSTGRESQL),
    Scenario("partner paused in mid-flight", deaths.paused),
    Scenario("Redis restarts, slots idle", restarted(lambda _: 0)),
    Scenario(
        "Redis restarts, all slots busy", restarted(lambda _: SLOTS), brief=((POSTGRESQL, THREADS),)
    ),
    Scenario("Redis restarts, one slot busy", restarted(lambda _: 1)),
    *_restarts_under_remote_control(),
    Scenario("FLUSHALL", outages.flushed, BOTH_THREADS, brief=((SQLITE, THREADS),), forgetful=True),
    Scenario(
        "Redis frozen for a minute",
        under_load(Arena.redis_frozen, seconds=60, times=1),
        # Thawed, it hands a message to the line that a worker gave up meanwhile.
        forgetful=True,
    ),
    Scenario("Redis becomes a read-only replica", under_load(outages.read_only)),
    Scenario("Redis out of memory", under_load(outages.full)),
    Scenario("every connection reset", outages.CONNECTIONS_RESET, forgetful=True),
    Scenario("half-open peers", outages.HALF_OPEN, forgetful=True),
    Scenario("answers lost on the line", outages.ANSWERS_LOST, forgetful=True),
    Scenario("bank away", outages.BANK_AWAY),
    Scenario("egress proxy away", ways_out.proxy_away, BOTH_THREADS, brief=((SQLITE, THREADS),)),
    Scenario("PostgreSQL crashes and recovers", databases.CRASHES, ON_POSTGRESQL),
    Scenario("PostgreSQL restarts, away for 3 s", databases.RESTARTS, ON_POSTGRESQL),
    Scenario("PostgreSQL's connections terminated", databases.TERMINATIONS, ON_POSTGRESQL),
    Scenario("a standby is promoted", databases.promoted, WITH_A_STANDBY),
    Scenario(
        "PgBouncer restarts, away for 3 s",
        databases.pooler_restarted,
        BEHIND_A_POOLER,
        brief=((POOLER, THREADS),),
    ),
    Scenario("PostgreSQL frozen", outages.POSTGRESQL_FROZEN, ON_POSTGRESQL),
    # Its lines are given up after 65 s.
    Scenario("PostgreSQL deaf for good", outages.POSTGRESQL_DEAF, ON_POSTGRESQL, patience=400),
    Scenario("commits done, their word lost", outages.WORD_LOST, ON_POSTGRESQL),
    Scenario("commit fails after the bank's answer", databases.commits_fail, ON_POSTGRESQL),
    Scenario(
        "SQLite locked by another process", databases.locked, ((SQLITE, THREADS), (SQLITE, PREFORK))
    ),
    Scenario("poison in a loop", traffic.poisoned),
    Scenario(
        "another program's Celery in the same Redis",
        programs.celery_beside,
        remark=programs.theirs_is_theirs,
        forgetful=True,
    ),
    Scenario(
        "ten thousand deliveries of one uid",
        traffic.flooded,
        remark=traffic.one_call_and_no_queue,
        timed=True,
    ),
    *_strays(),
    Scenario(
        "four workers share a rate, the bank away for a while",
        strays.limited,
        BOTH_THREADS,
        remark=strays.within_the_rate,
    ),
)

RUNS = [
    Run(scenario, database, pool) for scenario in SCENARIOS for database, pool in scenario.grounds
]

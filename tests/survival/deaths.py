"""Scenarios in which workers end, stop, sleep or disagree: functions that play the faults."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import PARTNER_ID
from tests.survival.arena import SETTINGS, Arena
from tests.survival.load import Load
from tests.survival.place import Place
from tests.survival.plan import Job, job
from tests.survival.proxy import Caught

LEASE = float(SETTINGS["KPLUS_LEASE_SECONDS"])
KILLS = 3
JUMPS = 4

# What each step of a job looks like on the lines of its worker.
_CLAIM = b"may_be_claimed"
_SETTLE = b"still_payable_at=CASE"
_EVIDENCE = b"INSERT INTO cancel_attempts"
_IN_ONE = b"WITH moved AS"


@dataclass(frozen=True, slots=True)
class Step:
    """A moment in the life of a job, and how a proxy holds a worker there."""

    name: str
    trap: Callable[[Place], Caught]
    on_sqlite: bool = False


def _database(place: Place, pattern: bytes, *, after: bytes = b"", reply: bool = False) -> Caught:
    assert place.database is not None
    return place.database.catch(pattern, after=after, reply=reply)


HOLDING = Step("after its claim, before its POST", lambda p: p.bank.catch(b"POST "), on_sqlite=True)
STEPS = (
    Step("before its claim", lambda place: _database(place, _CLAIM)),
    HOLDING,
    Step(
        "in mid-call, the bank has acted",
        lambda p: p.bank.catch(b"HTTP/1.1", reply=True),
        on_sqlite=True,
    ),
    Step("after the answer, before its settle", lambda place: _database(place, _SETTLE)),
    Step(
        "in mid-commit, nothing written", lambda place: _database(place, b"COMMIT", after=_EVIDENCE)
    ),
    Step(
        "in mid-commit, all written",
        lambda place: _database(place, b"COMMIT", after=_EVIDENCE, reply=True),
    ),
    Step(
        "after its one statement, the reply lost",
        lambda place: _database(place, b"SELECT 1", after=_IN_ONE, reply=True),
    ),
    Step("after its commit, before its ack", lambda p: p.broker.catch(b"HDEL"), on_sqlite=True),
)


def killed_at(step: Step) -> Callable[[Arena, Load], None]:
    """Return the scenario of a worker that is killed at a step, again and again."""

    def play(arena: Arena, load: Load) -> None:
        arena.start("a", "b")
        for portion in load.rounds(KILLS):
            trap = step.trap(arena.places["a"])
            with load.delivering(portion):
                arena.caught(trap)
                arena.kill("a")
            arena.start("a")

    return play


def rolling(end: Callable[[Arena, str], object]) -> Callable[[Arena, Load], None]:
    """Return the scenario of workers that end one after the other, each replaced, under load."""

    def play(arena: Arena, load: Load) -> None:
        arena.start("a", "b", "c")
        names = "abc"
        for turn, portion in enumerate(load.rounds(KILLS)):
            name = names[turn % len(names)]
            with load.delivering(portion):
                arena.wait_for_a_call()
                end(arena, name)
                arena.start(name)

    return play


def terminated(arena: Arena, name: str) -> None:
    """End a worker in order; it must say so."""
    code = arena.terminate(name)
    assert code == 0, f"exit code {code}:\n{arena.told()}"


def forgotten(arena: Arena, load: Load) -> None:
    """Let Redis hand messages to a worker that never reads them: it forgets them at once."""
    arena.start("a")
    for portion in load.rounds(2):
        arena.freeze("a")
        load.deliver(portion)
        arena.kill("a")
        arena.start("a")


def _held_at_the_bank(arena: Arena, load: Load) -> tuple[list[Job], list[Job]]:
    """Return jobs whose calls the bank holds until they are released, and those not delivered."""
    first, *others = load.jobs
    held = [job("slow3+hold", 900_000 + number) for number in range(4)]
    load.jobs += held
    load.store(first)
    # Until a partner has proved itself one call goes first, and these are to go together.
    arena.wait_until_idle()
    before = len(arena.bank.journal)
    for each in held:
        load.store(each)
    assert arena.bank.journal.wait_for_posts(before + len(held), timeout=LIMIT)
    return held, others


def stale(arena: Arena, load: Load) -> None:
    """Let a worker sleep over its lease and wake while another's call of the same job runs."""
    arena.start("a")
    sleepers, others = _held_at_the_bank(arena, load)
    arena.freeze("a")
    arena.start("b")
    uids = [each.uid for each in sleepers]
    posts = arena.bank.journal.posts_per_uid
    eventually(lambda: any(posts().get(uid, 0) > 1 for uid in uids), saying=arena.told)
    arena.thaw("a")
    woken = arena.places["a"].process
    eventually(lambda: all(_has_ended(woken.told(), uid) for uid in uids))
    # A worker without a fence has given its jobs away by now; whoever takes one up asks at once.
    arena.pause(2)
    for each in sleepers:
        arena.bank.release(each.token)
    load.deliver(others)


def _has_ended(log: str, uid: str) -> bool:
    """Say whether a worker's log tells of the end of an attempt, well or badly."""
    return any(uid in line and '"event": "attempt' in line for line in log.splitlines())


def asleep(arena: Arena, load: Load) -> None:
    """Let many sweeps rescue at once: workers sleep over their leases, whatever they were doing."""
    arena.start("a", "b", "c", "d", KPLUS_SWEEP_SECONDS="0.05")
    for name, portion in zip("abc", load.portions(3), strict=True):
        with load.delivering(portion):
            arena.wait_for_a_call()
            arena.freeze(name)
        arena.pause(LEASE + 1)
        arena.thaw(name)


def clocks(arena: Arena, load: Load) -> None:
    """Let workers disagree about the time by two hours, and one of them die."""
    shifted = [sys.executable, "-m", "tests.survival.shifted"]
    arena.start("a", command=[*shifted, "3600"])
    arena.start("b", command=[*shifted, "-3600"])
    arena.start("c")
    arena.fault("clock +1 h")
    arena.fault("clock -1 h")
    for name, portion in zip("ab", load.portions(2), strict=True):
        with load.delivering(portion):
            arena.wait_for_a_call()
            arena.kill(name)
        arena.start(name)


def jumping(arena: Arena, load: Load) -> None:
    """Let the clocks of two workers jump by an hour and back, in mid-flight, and opposite ways."""
    clocks = {name: arena.folder / f"clock-{name}" for name in "ab"}
    for name, clock in clocks.items():
        clock.write_text("0", encoding="ascii")
        arena.start(name, command=[sys.executable, "-m", "tests.survival.shifted", str(clock)])
    arena.start("c")
    for turn, portion in enumerate(load.rounds(JUMPS)):
        with load.delivering(portion):
            for hours in (1, 0):
                arena.wait_for_a_call()
                for clock, sign in zip(clocks.values(), (1, -1), strict=True):
                    way = sign if turn % 2 else -sign
                    _write(clock, str(way * hours * 3600))
                    arena.fault(f"clock {way:+} h" if hours else "clock right again")
                arena.pause(1)


def _write(path: Path, word: str) -> None:
    """Write a file that others read meanwhile: they find the old word or the new one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(word, encoding="ascii")
    fresh.replace(path)


def paused(arena: Arena, load: Load) -> None:
    """Pause the partner while its calls are in flight, and resume it."""
    arena.start("a", "b")
    actions = arena.store.actions
    for portion in load.rounds(3):
        with load.delivering(portion):
            arena.wait_for_a_call()
            arena.fault("partner paused")
            actions.pause_partner(PARTNER_ID, who="test", reason="in mid-flight")
            arena.pause(1)
        actions.resume_partner(PARTNER_ID, who="test", reason="go on")


def raced(arena: Arena, load: Load) -> None:
    """Deliver a job again while its call is held at the bank, until it is called twice."""
    arena.start("a", "b")
    held, others = _held_at_the_bank(arena, load)
    for each in held:
        load.send(each, whole=True, times=4)
    posts = arena.bank.journal.posts_per_uid
    eventually(lambda: any(posts().get(each.uid, 0) > 1 for each in held), saying=arena.told)
    for each in held:
        arena.bank.release(each.token)
    load.deliver(others)


def calm(arena: Arena, load: Load) -> None:
    """Break nothing; five deliveries of a job race for it in two workers."""
    arena.start("a", "b")
    with load.delivering(load.jobs):
        for each in load.jobs[::2]:
            load.send(each, whole=True, times=4)

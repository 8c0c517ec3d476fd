"""Threads that wait for work: one for each that is done at once, and none of it is lost."""

import queue
import sys
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from tests.servers.waiting import LIMIT, eventually, joined
from worker.outbox.crew import Crew


def named(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def test_a_thread_takes_the_next_work() -> None:
    crew, did = Crew("again"), queue.SimpleQueue[int]()
    seen = set()
    for _ in range(5):
        crew.do(lambda: did.put(threading.get_ident()))
        seen.add(did.get(timeout=LIMIT))
        eventually(lambda: crew.free == 1)  # it waits for the next
    assert (len(seen), named("again")) == (1, 1)


def test_all_work_is_done_at_once() -> None:
    crew, together = Crew("together"), threading.Barrier(20)
    did: queue.SimpleQueue[int] = queue.SimpleQueue()
    for _ in range(20):
        crew.do(lambda: did.put(together.wait(LIMIT)))
    assert {did.get(timeout=LIMIT) for _ in range(20)} == set(range(20))


def test_a_thread_without_work_ends() -> None:
    crew, did = Crew("idle", idle_seconds=0.01), queue.SimpleQueue[int]()
    crew.do(lambda: did.put(1))
    did.get(timeout=LIMIT)
    eventually(lambda: named("idle") == 0)


@pytest.fixture
def hurried() -> Iterator[None]:
    """Let threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hurried")
def test_work_that_comes_as_a_thread_ends_is_done() -> None:
    crew, did = Crew("hasty", idle_seconds=0.0), queue.SimpleQueue[int]()

    def give(numbers: range) -> None:
        for number in numbers:
            crew.do(partial(did.put, number))

    givers = [threading.Thread(target=give, args=(range(n, 4000, 4),)) for n in range(4)]
    for giver in givers:
        giver.start()
    for giver in givers:
        joined(giver)
    assert {did.get(timeout=LIMIT) for _ in range(4000)} == set(range(4000))
    eventually(lambda: named("hasty") == 0)

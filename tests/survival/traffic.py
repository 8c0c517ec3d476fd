"""Scenarios in which the messages themselves are the fault: poison, and a flood of one uid."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.celery.hostile import holding, item
from tests.survival.arena import Arena
from tests.survival.load import QUEUE, Load
from tests.survival.plan import Job, job
from tests.survival.remarks import Remark

FLOOD = 10_000
MOST = 2
"""By so much a flood may lengthen the delays of others, at the 99th percentile."""
POISON = (b"", b"5", b"[[]]", b"\xff\xfe", b'{"body": 1}', item(headers={}), holding(b"[[], 7, 7]"))


def poisoned(arena: Arena, load: Load) -> None:
    """Push what no worker can run between the messages, from the first to the last."""
    arena.start("a", "b")
    with _pushing(arena):
        load.deliver(load.jobs)


@contextmanager
def _pushing(arena: Arena) -> Iterator[None]:
    ended = threading.Event()

    def push() -> None:
        with arena.redis.client() as client:
            while not ended.wait(0.02):
                for poison in POISON:
                    client.lpush(QUEUE, poison)
                    arena.fault("poison")

    pusher = threading.Thread(target=push, daemon=True)
    pusher.start()
    try:
        yield
    finally:
        ended.set()
        pusher.join()


def flooded(arena: Arena, load: Load) -> None:
    """Deliver one job ten thousand times, the others meanwhile."""
    arena.start("a", "b")
    drowned = job("ok", 900_000)
    load.jobs.append(drowned)
    before, after = list(load.portions(2))
    load.deliver(before)
    arena.wait_until_idle()
    load.store(drowned)
    with load.delivering(after):
        load.send(drowned, whole=True, times=FLOOD)
        arena.faults["deliveries of one uid"] += FLOOD


def one_call_and_no_queue(arena: Arena, load: Load) -> Remark:
    """The uid of the flood was asked about once, and the others hardly waited longer for it."""
    drowned = [each for each in load.jobs if each.uid.startswith("SURV9")]
    others = [each for each in load.jobs if each not in drowned]
    half = len(others) // 2
    before, meanwhile = (_percentile(arena, part) for part in (others[:half], others[half:]))
    posts = arena.bank.journal.posts_per_uid()
    complaints = [f"{each.uid}: {posts.get(each.uid)} POSTs" for each in drowned]
    return Remark(
        f"the others' p99 {before:.1f} s before, {meanwhile:.1f} s meanwhile",
        [said for each, said in zip(drowned, complaints, strict=True) if posts.get(each.uid) != 1]
        + ([] if meanwhile <= MOST * before else ["the p99 of the others more than doubled"]),
    )


def _percentile(arena: Arena, jobs: list[Job], share: float = 0.99) -> float:
    """Return the seconds from acceptance to end that this share of the jobs did not exceed."""
    files = [arena.store.reports.file(each.uid) for each in jobs]
    delays = sorted(
        (file.job["finished_at"] - file.job["created_at"]).total_seconds()
        for file in files
        if file is not None and file.job["finished_at"] is not None
    )
    return delays[int(share * len(delays))] if delays else float("nan")

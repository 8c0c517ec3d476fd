"""The same job in every library, in turns: its processor time, its pace, the database's part."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from benchmarks.figures import Ratio
from benchmarks.peers.contenders import Bank, Contender
from benchmarks.peers.environment import python
from benchmarks.peers.libraries import BACKLOG, HINTED, LIBRARIES
from benchmarks.peers.started import Everybody
from benchmarks.peers.table import table
from benchmarks.stage import Stage

JOBS = 800
LATENCY = 0.2
JOBS_AT_LATENCY = 480
TURNS_AT_LATENCY = 2
"""At most: a turn takes as long as the bank does, and the pace hardly varies."""
FIRST = 5
"""The turn that does not count has a fifth of the jobs."""


def measure(stage: Stage, repeat: int) -> Iterator[Ratio]:
    """Yield our processor time against every library's, then print the table of all figures."""
    at_once = turns(stage, 0.0, count=JOBS, repeat=repeat)
    costs = {each.name: each.cost() for each in at_once}
    for ours in (BACKLOG, HINTED):
        for library in LIBRARIES:
            most = None if library.is_celery else 1.0
            name = f"processor time of a job: {ours}, against {library.name}"
            yield Ratio(name, costs[ours], costs[library.name], most=most)
    at_latency = turns(stage, LATENCY, count=JOBS_AT_LATENCY, repeat=min(repeat, TURNS_AT_LATENCY))
    print(f"\n{table(at_once, at_latency, LATENCY)}", flush=True)


def turns(stage: Stage, latency: float, *, count: int, repeat: int) -> Sequence[Contender]:
    """Let all contenders do their jobs, one after another, and return them with their figures."""
    with ExitStack() as stack:
        stub = stack.enter_context(stage.bank(latency))
        bank = stack.enter_context(Bank(stub.url))
        contenders = stack.enter_context(Everybody(stage, stub, python()).started())
        for turn in range(repeat + 1):
            jobs = count if turn else count // FIRST
            for each in contenders:
                each.turn(turn, count=jobs, bank=bank, postmaster=stage.postmaster)
    return contenders

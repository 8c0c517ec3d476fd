"""
A peer's program: it works, or it takes orders and puts them into the library's own queue.

Run as: python -m benchmarks.peers.programs.NAME work|fill. Working, it prints READY once it takes
messages. Filling, it reads a JSON list of uids a line, and prints when it handed them over.
"""

import json
import sys
import time
from collections.abc import Callable

READY = "the peer is ready"


def run(work: Callable[[], object], fill: Callable[[list[str]], float]) -> None:
    """Do what the command line asks for."""
    if sys.argv[1] == "work":
        work()
        return
    print(READY, flush=True)
    for line in sys.stdin:
        print(fill(json.loads(line)), flush=True)


def ready() -> None:
    """Say that messages are taken from now on."""
    print(READY, flush=True)


def at_once(hand_over: Callable[[], object]) -> float:
    """Do the stroke by which the worker gets its messages; return the time just before it."""
    began = time.monotonic()
    hand_over()
    return began

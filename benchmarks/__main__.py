"""`./dev bench [CASE ...] [--repeat N]`: measure, and print a table of ratios."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import (
    backlog,
    drain,
    fleet,
    jobs,
    latency,
    memory,
    producers,
    rates,
    sqlite,
    starts,
    tables,
    webhook,
    writes,
)
from benchmarks.figures import HEAD, Ratio
from benchmarks.machine import described
from benchmarks.peers import environment
from benchmarks.peers import measure as peers
from benchmarks.stage import Stage

CASES: dict[str, Callable[[Stage, int], Iterator[Ratio]]] = {
    "jobs": jobs.measure,
    "drain": drain.measure,
    "latency": latency.measure,
    "webhook": webhook.measure,
    "producers": producers.measure,
    "tables": tables.measure,
    "backlog": backlog.measure,
    "rates": rates.measure,
    "starts": starts.measure,
    "memory": memory.measure,
    "writes": writes.measure,
    "fleet": fleet.measure,
    "sqlite": sqlite.measure,
}
NAMED = {**CASES, "peers": peers.measure}
"""All that may be named; the peers need what only that installs."""


def main(arguments: list[str]) -> int:
    """Measure what is named, or everything; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("case", nargs="*", choices=[*NAMED, []], help="default: all but peers")
    parser.add_argument("--repeat", type=int, default=5, help="turns that count (default: 5)")
    asked = parser.parse_args(arguments)
    if "peers" in asked.case:
        try:
            environment.python()
        except environment.NoEnvironment as reason:
            print(reason, file=sys.stderr)
            return 1
    print(f"{described()}\n\n{HEAD}", flush=True)
    missed = 0
    with tempfile.TemporaryDirectory(prefix="kplus-bench-") as folder, Stage(Path(folder)) as stage:
        for name in asked.case or CASES:
            for ratio in NAMED[name](stage, asked.repeat):
                print(ratio.told(), flush=True)
                missed += ratio.holds is False
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

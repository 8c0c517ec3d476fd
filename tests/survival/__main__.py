"""
`./dev survival`: play every scenario in full size, and renew the table in docs/reliability.md.

Arguments go to pytest, to play a few; the page then stays as it is. Without any it fails
unless every scenario was played and held.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.survival.page import PAGE, RESULTS, kept, missing, renewed
from tests.survival.scenarios import RUNS
from tools.tree import ROOT

# Most of them wait, for servers and for leases, and not for a processor.
SIDE_BY_SIDE = ("-v", "-n", "3", "--dist", "worksteal")


def main(arguments: list[str]) -> int:
    """Play, and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="kplus-survival-") as folder:
        played = subprocess.run(
            [sys.executable, "-m", "pytest", *SIDE_BY_SIDE, "tests/survival", *arguments],
            cwd=ROOT,
            env={**os.environ, RESULTS: folder},
            check=False,
        )
        lines = kept(Path(folder))
    wanted = [run.name for run in RUNS]
    for line in lines.values():
        sys.stdout.write(f"{line}\n")
    if arguments:
        return played.returncode
    not_held = missing(lines, wanted)
    for name in not_held:
        sys.stderr.write(f"not played, or not held: {name}\n")
    if played.returncode == 0 and not not_held:
        PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), lines, wanted), encoding="utf-8")
    return played.returncode or bool(not_held)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

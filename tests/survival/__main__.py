"""
`./dev survival`: play every scenario in full size; renew docs/explanation/reliability.md.

Without arguments it fails unless every scenario was played and held. `--again` plays only what has
no line yet from these very sources: what was interrupted, or did not hold. Other arguments
go to pytest, to play a few; the page then stays as it is.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.survival.page import PAGE, RESULTS, kept, missing, renewed, sources
from tests.survival.scenarios import RUNS
from tools.tree import ROOT

SIDE_BY_SIDE = ("-m", "not alone", "-n", "3", "--dist", "worksteal")
"""Most of them wait, for servers and for leases, and not for a processor."""
ALONE = ("-m", "alone")
"""Those that are held to a time: a neighbour on the same processors would be another fault."""
AGAIN = "--again"
TEST = "tests/survival/test_scenarios.py::test_nothing_is_lost_and_nothing_is_done_twice"


def main(arguments: list[str]) -> int:
    """Play, and return the exit code."""
    others = [argument for argument in arguments if argument != AGAIN]
    folder = ROOT / ".survival" / sources()
    if not arguments:
        shutil.rmtree(folder, ignore_errors=True)
    done = list(kept(folder)) if AGAIN in arguments else []
    code = _play(folder, [*others, *(f"--deselect={TEST}[{name}]" for name in done)])
    lines, wanted = kept(folder), [run.name for run in RUNS]
    for name in wanted:
        sys.stdout.write(f"{lines[name]}\n" if name in lines else "")
    if others:
        return code
    not_held = missing(lines, wanted)
    for name in not_held:
        sys.stderr.write(f"not played, or not held: {name}\n")
    if code == 0 and not not_held:
        PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), lines, wanted), encoding="utf-8")
    return code or bool(not_held)


def _play(folder: Path, arguments: list[str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    codes = [
        subprocess.run(
            [sys.executable, "-m", "pytest", "-v", *how, "tests/survival", *arguments],
            cwd=ROOT,
            env={**os.environ, RESULTS: str(folder)},
            check=False,
        ).returncode
        for how in (ALONE, SIDE_BY_SIDE)
    ]
    # Of a few that were named, none may be of one kind.
    played = [code for code in codes if code != pytest.ExitCode.NO_TESTS_COLLECTED]
    return max(played, default=int(pytest.ExitCode.NO_TESTS_COLLECTED))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

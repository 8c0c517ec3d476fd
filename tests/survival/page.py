"""The table of runs: one line each, kept while the tests run, put into the page at the end."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from tools.tree import ROOT

PAGE = ROOT / "docs" / "reliability.md"
RESULTS = "KPLUS_TEST_SURVIVAL"
"""Names the folder for the lines; set by `./dev survival`, which plays everything in full size."""

HEAD = (
    "| what was broken (database, pool) | jobs | faults | lost | doubled | not final "
    "| asked again | longest delay | took |\n"
    "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)
_PART = re.compile(r"(<!-- generated: survival -->\n).*?(<!-- end -->)", re.DOTALL)


def keep(folder: Path, name: str, line: str) -> None:
    """Write down the line of one run."""
    with (folder / "lines").open("a", encoding="utf-8") as file:
        file.write(json.dumps([name, line]) + "\n")


def kept(folder: Path) -> dict[str, str]:
    """Return the lines that were written down, by the name of the run."""
    path = folder / "lines"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return dict(json.loads(line) for line in lines)


def missing(lines: dict[str, str], wanted: Sequence[str]) -> list[str]:
    """Return the runs that left no line: they failed, were skipped, or were not played."""
    return [name for name in wanted if name not in lines]


def renewed(page: str, lines: dict[str, str], wanted: Sequence[str]) -> str:
    """Return the page with the lines in the order of the scenarios."""
    table = "\n".join([HEAD, *(lines[name] for name in wanted)])
    return _PART.sub(lambda part: f"{part[1]}\n{table}\n\n{part[2]}", page)

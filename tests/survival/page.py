"""The table of runs: one line each, kept while the tests run, put into the page at the end."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from tools.tree import ROOT

PAGE = ROOT / "docs" / "explanation" / "reliability.md"
RESULTS = "KPLUS_TEST_SURVIVAL"
"""Names the folder for the lines; set by `./dev survival`, which plays everything in full size."""

SOURCES = ("worker", "migrations", "tests/servers", "tests/survival")

HEAD = (
    "| what was broken (database, pool) | jobs | faults | lost | doubled | not final "
    "| asked again | longest delay | longest stall | most calls in a second | took |\n"
    "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)
_PART = re.compile(r"(<!-- generated: survival -->\n).*?(<!-- end -->)", re.DOTALL)


def sources() -> str:
    """Return what tells one state of the product and of these scenarios from every other."""
    digest = hashlib.sha256()
    for path in sorted(path for part in SOURCES for path in (ROOT / part).rglob("*.py")):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def begin(folder: Path, name: str) -> None:
    """Take back the line of a run that begins anew: should it fail now, no older one speaks."""
    keep(folder, name, "")


def keep(folder: Path, name: str, line: str) -> None:
    """Write down the line of one run."""
    with (folder / "lines").open("a", encoding="utf-8") as file:
        file.write(json.dumps([name, line]) + "\n")


def kept(folder: Path) -> dict[str, str]:
    """Return the lines that were written down, by the name of the run."""
    path = folder / "lines"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    last = dict(json.loads(line) for line in lines)
    return {name: line for name, line in last.items() if line}


def missing(lines: dict[str, str], wanted: Sequence[str]) -> list[str]:
    """Return the runs that left no line: they failed, were skipped, or were not played."""
    return [name for name in wanted if name not in lines]


def renewed(page: str, lines: dict[str, str], wanted: Sequence[str]) -> str:
    """Return the page with the lines in the order of the scenarios."""
    table = "\n".join([HEAD, *(lines[name] for name in wanted)])
    return _PART.sub(lambda part: f"{part[1]}\n{table}\n\n{part[2]}", page)

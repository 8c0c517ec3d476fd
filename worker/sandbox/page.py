"""The tables of `docs/reference/sandbox.md`: `python -m worker.sandbox.page FILE` renews them."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from worker.sandbox.play import Scenario
from worker.sandbox.rules import MODES
from worker.sandbox.scenarios import GROUPS

_PART = re.compile(
    r"(<!-- table: (?P<name>\w{1,64}+) -->\n)(?:(?!<!-- ).)*+(<!-- end -->)", re.DOTALL
)


def renewed(page: str) -> str:
    """Return the page with its tables generated from the code."""
    tables = {"scenarios": _scenarios(), "modes": _modes()}
    return _PART.sub(lambda part: f"{part[1]}\n{tables[part['name']]}\n{part[3]}", page)


def written(scenario: Scenario) -> str:
    """Return how a token id names the scenario."""
    number = "N" if scenario.counts else ""
    text = f".{scenario.text.upper().replace(' ', '')}" if scenario.text else ""
    return f"{scenario.name}{number}{text}"


def _scenarios() -> str:
    return "\n".join(line for group in GROUPS for line in _group(group))


def _group(title: str) -> Iterator[str]:
    yield f"### {title}\n"
    yield "| token id begins with | the bank | N is, if left out |"
    yield "| --- | --- | --- |"
    for scenario in GROUPS[title]:
        number = f"{scenario.counts}, {scenario.default:g}" if scenario.counts else ""
        yield f"| `{written(scenario)}` | {scenario.does} | {number} |"
    yield ""


def _modes() -> str:
    rows = [f"| `{mode}` | {does} |" for mode, does in MODES.items()]
    return "\n".join(["| mode | the bank |", "| --- | --- |", *rows, ""])


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text()))

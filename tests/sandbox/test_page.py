"""The page says what the bank does, and every behaviour has its test."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from worker.sandbox import SCENARIOS, Rules
from worker.sandbox.page import renewed, written
from worker.sandbox.scripts import parse_step

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "reference" / "sandbox.md"


def test_the_tables_on_the_page_are_those_of_the_code() -> None:
    """If this fails: `python -m worker.sandbox.page docs/reference/sandbox.md` renews them."""
    page = PAGE.read_text()
    assert renewed(page) == page


def test_the_page_renews_itself_by_the_command_it_names(tmp_path: Path) -> None:
    stale = tmp_path / "page.md"
    stale.write_text(PAGE.read_text().replace("| `ok` |", "| `okay` |"))
    subprocess.run([sys.executable, "-m", "worker.sandbox.page", str(stale)], check=True)
    assert stale.read_text() == PAGE.read_text()


@pytest.mark.parametrize("rule", [each.name for each in fields(Rules)])
def test_every_rule_is_on_the_page(rule: str) -> None:
    assert f"`{rule}`" in PAGE.read_text() or rule == "mode"


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_is_played_in_a_test(name: str) -> None:
    tests = "".join(path.read_text() for path in HERE.glob("test_*.py") if path != Path(__file__))
    assert re.search(rf"""["+~]{name}[0-9.{{}}a-z_]*["+~-]""", tests)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_can_be_written_as_the_page_shows_it(name: str) -> None:
    shown = written(SCENARIOS[name])
    head, dot, text = shown.partition(".")
    assert parse_step(head.replace("N", "3") + dot + text.lower()).scenario is SCENARIOS[name]

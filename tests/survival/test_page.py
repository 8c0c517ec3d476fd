"""The table: complete or not written, and made of the lines that the runs left."""

import os
import subprocess
import sys
from pathlib import Path

from tests.survival.__main__ import TEST
from tests.survival.page import HEAD, PAGE, RESULTS, begin, keep, kept, missing, renewed
from tests.survival.scenarios import RUNS, SCENARIOS
from tools.tree import ROOT


def test_the_runs_have_names_of_their_own() -> None:
    assert len({run.name for run in RUNS}) == len(RUNS)


def test_a_brief_run_is_one_of_the_full_ones() -> None:
    """Else `./dev test` would leave out what it promises to play."""
    for scenario in SCENARIOS:
        assert set(scenario.brief) <= set(scenario.grounds), scenario.name
    assert 4 <= sum(run.is_brief for run in RUNS) <= 6


def test_lines_come_in_the_order_of_the_scenarios(tmp_path: Path) -> None:
    keep(tmp_path, "second", "| second |")
    keep(tmp_path, "first", "| first |")
    page = "words\n\n<!-- generated: survival -->\nold\n<!-- end -->\nmore\n"
    made = renewed(page, kept(tmp_path), ["first", "second"])
    table = f"{HEAD}\n| first |\n| second |"
    assert made == f"words\n\n<!-- generated: survival -->\n\n{table}\n\n<!-- end -->\nmore\n"
    assert renewed(made, kept(tmp_path), ["first", "second"]) == made


def test_a_run_without_a_line_is_missed(tmp_path: Path) -> None:
    assert missing(kept(tmp_path), ["first"]) == ["first"]
    keep(tmp_path, "first", "| first |")
    assert missing(kept(tmp_path), ["first", "second"]) == ["second"]


def test_a_run_that_began_anew_has_no_line_until_it_holds(tmp_path: Path) -> None:
    """`./dev survival --again` must not go by the line of a time before."""
    keep(tmp_path, "first", "| held |")
    begin(tmp_path, "first")
    assert missing(kept(tmp_path), ["first"]) == ["first"]
    keep(tmp_path, "first", "| held again |")
    assert kept(tmp_path) == {"first": "| held again |"}


def test_the_page_has_a_place_for_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    lines = dict.fromkeys((run.name for run in RUNS), "| a line |")
    assert renewed(text, lines, list(lines)).count("| a line |") == len(RUNS)


def test_a_test_run_collects_the_brief_ones_alone() -> None:
    """That the full run leaves out none is held by the lines: one missing, and it fails."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "tests/survival/test_scenarios.py"),
            *("--collect-only", "-q", "-p", "no:cacheprovider"),
        ],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != RESULTS},
        capture_output=True,
        text=True,
        check=True,
    )
    collected = [run.name for run in RUNS if f"[{run.name}]" in done.stdout]
    assert collected == [run.name for run in RUNS if run.is_brief]
    # By these names `--again` leaves out what has its line.
    assert all(f"{TEST}[{name}]" in done.stdout.splitlines() for name in collected)

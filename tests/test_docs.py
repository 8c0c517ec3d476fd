"""The pages say what the code does."""

import re
import tomllib
from pathlib import Path

import pytest
from click import Context

from tests.integration.behaviours import page as behaviours
from tools.docs import EXAMPLES, PAGES, PARTS, names, renewed
from worker.cli import cli
from worker.config import Settings
from worker.models import metadata
from worker.states import OUTCOMES, Outcome

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


RENEWED_BY = {"tools.docs": PARTS, "tests.integration.behaviours": behaviours.PARTS}


@pytest.mark.parametrize("module", RENEWED_BY)
@pytest.mark.parametrize("page", PAGES)
def test_the_generated_parts_are_those_of_the_code(page: str, module: str) -> None:
    """If this fails: `python -m` with the module's name renews them."""
    text = (ROOT / page).read_text()
    assert renewed(text, RENEWED_BY[module]) == text


def test_every_generated_part_stands_on_one_page_and_somebody_renews_it() -> None:
    standing = [name for page in PAGES for name in names((ROOT / page).read_text())]
    assert sorted(standing) == sorted(name for parts in RENEWED_BY.values() for name in parts)


def test_every_example_is_shown() -> None:
    text = (DOCS / "producers.md").read_text()
    shown = re.findall(r"<!-- generated: (\w+) -->", text)
    assert sorted(shown) == sorted(path.stem for path in EXAMPLES)


@pytest.mark.parametrize("name", [f"KPLUS_{name.upper()}" for name in Settings.model_fields])
def test_every_setting_is_explained(name: str) -> None:
    assert f"`{name}`" in (DOCS / "settings.md").read_text()


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_says_what_the_order_system_does(outcome: Outcome) -> None:
    """The page is what order systems are written by: an outcome keeps its state."""
    (state,) = (state for state, outcomes in OUTCOMES.items() if outcome in outcomes)
    assert f"| `{outcome}` | {state} |" in (DOCS / "states.md").read_text()


_COLUMNS = {c.name for name in ("cancel_jobs", "cancel_attempts") for c in metadata.tables[name].c}


@pytest.mark.parametrize("column", sorted(_COLUMNS))
def test_every_column_of_a_job_is_named(column: str) -> None:
    pages = "".join(page.read_text() for page in DOCS.glob("*.md"))
    assert f"`{column}`" in pages or f".{column}`" in pages


def test_every_decision_has_its_parts() -> None:
    for page in (DOCS / "adr").glob("*.md"):
        text = page.read_text()
        for part in ("Status: ", "## Context", "## Decision", "## Consequences"):
            assert part in text, f"{page.name} lacks {part}"


def test_every_room_is_on_the_map() -> None:
    """A module that the import contract knows is in the picture of the layers, by generation."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert contracts["root_package"] == "worker"
    text = (DOCS / "architecture.md").read_text()
    for place in (ROOT / "worker").iterdir():
        if place.suffix == ".py" or (place / "__init__.py").exists():
            name = place.stem
            assert name == "__init__" or re.search(rf"\b{name}\b", text), name


def test_the_commands_of_the_readme_exist() -> None:
    """Each `kplus-cancel` line of the README names a command that there is."""
    commands = cli.list_commands(Context(cli))
    for name in re.findall(r"kplus-cancel ([a-z]+)", (ROOT / "README.md").read_text()):
        assert name in commands, name

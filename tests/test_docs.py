"""The pages say what the code does."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from click import Context

from tests.integration.behaviours import page as behaviours
from tools.docs import EXAMPLES, PAGES, PARTS, names, renewed
from worker.cli import cli
from worker.config.settings import Settings
from worker.domain.states import OUTCOMES, Outcome
from worker.store.schema.tables import metadata

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
    text = (DOCS / "how-to" / "producers.md").read_text()
    shown = re.findall(r"<!-- generated: (\w+) -->", text)
    assert sorted(shown) == sorted(path.stem for path in EXAMPLES)


@pytest.mark.parametrize("name", [f"KPLUS_{name.upper()}" for name in Settings.model_fields])
def test_every_setting_is_explained(name: str) -> None:
    assert f"`{name}`" in (DOCS / "reference" / "settings.md").read_text()


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_says_what_the_order_system_does(outcome: Outcome) -> None:
    """The page is what order systems are written by: an outcome keeps its state."""
    (state,) = (state for state, outcomes in OUTCOMES.items() if outcome in outcomes)
    assert f"| `{outcome}` | {state} |" in (DOCS / "reference" / "states.md").read_text()


_TABLES = dict(
    re.findall(
        r"^## `(\w+)`\n(.*?)(?=^## |\Z)",
        (DOCS / "reference" / "tables.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)


@pytest.mark.parametrize("table", metadata.tables)
def test_every_column_of_every_table_is_named_and_no_other(table: str) -> None:
    """The names stand in the first cells of the table's part of the page."""
    first = "".join(re.findall(r"^\| (`[^|]+`) \|", _TABLES[table], re.MULTILINE))
    assert sorted(re.findall(r"`(\w+)`", first)) == sorted(metadata.tables[table].c.keys())


def test_no_table_is_told_of_that_is_not_there() -> None:
    assert set(_TABLES) == set(metadata.tables)


_INDEX = (DOCS / "README.md").read_text()
_PAGES = sorted(str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md") if p.parent.name != "adr")


@pytest.mark.parametrize("page", [page for page in _PAGES if page != "README.md"])
def test_every_page_is_in_the_index_by_need(page: str) -> None:
    assert re.search(rf"^\| [^|]+ \| \[[^]]+\]\({re.escape(page)}[)#]", _INDEX, re.MULTILINE)


_MAP = dict(
    re.findall(
        r"^## (.+?)\n(.*?)(?=^## |\Z)", (DOCS / "map.md").read_text(), re.MULTILINE | re.DOTALL
    )
)
_KINDS = (
    "A field of the bank",
    "A code of the bank",
    "A setting",
    "A command",
    "A check of doctor",
    "A table or a column",
    "A survival scenario",
)


@pytest.mark.parametrize("kind", _KINDS)
def test_the_map_leads_from_file_to_file(kind: str) -> None:
    """Each step begins with the file to touch, and says what to do there."""
    steps = re.findall(r"^(\d+)\. (.+)$", _MAP[kind], re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    assert len(steps) >= 5
    for _, step in steps:
        begins = re.match(r"`(?P<path>[\w./-]+/[\w./-]+)`: \w", step)
        assert begins, step
        assert (ROOT / begins["path"]).is_file(), step


def test_every_file_on_the_map_is_there() -> None:
    named = re.findall(r"`([\w./-]+/[\w./-]+)`", (DOCS / "map.md").read_text())
    assert len(named) > 50
    assert [name for name in named if name != "./dev" and not (ROOT / name).exists()] == []


def test_every_decision_has_its_parts() -> None:
    for page in (DOCS / "adr").glob("*.md"):
        text = page.read_text()
        for part in ("Status: ", "## Context", "## Decision", "## Consequences"):
            assert part in text, f"{page.name} lacks {part}"


def test_every_room_is_on_the_map() -> None:
    """A module that the import contract knows is in the picture of the layers, by generation."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert contracts["root_package"] == "worker"
    text = (DOCS / "explanation" / "architecture.md").read_text()
    for place in (ROOT / "worker").iterdir():
        if place.suffix == ".py" or (place / "__init__.py").exists():
            name = place.stem
            assert name == "__init__" or re.search(rf"\b{name}\b", text), name


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{page}" for page in _PAGES)])
def test_the_commands_of_a_page_exist(page: str) -> None:
    """Each `kplus-cancel` line, in a block or in prose, names a command that there is."""
    commands = cli.list_commands(Context(cli))
    text = (ROOT / page).read_text()
    for name in re.findall(r"(?:^    .*?|`)kplus-cancel ([a-z]+)", text, re.MULTILINE):
        assert name in commands, name


def test_messages_name_pages_in_one_place() -> None:
    """A page that moves is followed in `worker/telemetry/about.py` alone."""
    elsewhere = (set((ROOT / "worker").rglob("*.py"))) - {
        ROOT / "worker" / "telemetry" / "about.py"
    }
    for path in elsewhere:
        module = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = re.search(r"docs/[\w/-]+\.md", node.value)
                assert named is None or id(node) in docstrings, f"{path}: {node.value}"

"""The dependency group `dev`: whoever installs it can run every test and every check."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.dependency_groups import DependencyGroupResolver
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.tree import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
LOCAL = {"benchmarks", "tests", "tools", "worker"}
# What runs in the environment of `./dev bench peers`; test_peers.py holds it against its own list.
ELSEWHERE = (ROOT / "benchmarks" / "peers" / "programs", ROOT / "benchmarks" / "peers" / "job")


def group(name: str) -> set[str]:
    """Return what a dependency group asks for, as it is written."""
    return {str(each) for each in DependencyGroupResolver(GROUPS).resolve(name)}


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level names that a module imports from outside of it, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("folder", ["tests", "tools", "benchmarks"])
def test_whatever_is_imported_is_asked_for(folder: str) -> None:
    """An import that another package happens to bring goes with that package's next version."""
    wanted = map(Requirement, [*PROJECT["project"]["dependencies"], *group("dev")])
    asked_for = {canonicalize_name(each.name) for each in wanted}
    providers = packages_distributions()
    known = LOCAL | sys.stdlib_module_names
    paths = [path for path in (ROOT / folder).rglob("*.py") if path.parent not in ELSEWHERE]
    names = {name for path in paths for name in imported(path)} - known
    assert "pytest" in names or folder != "tests"
    unasked = {
        name for name in names if not asked_for & set(map(canonicalize_name, providers[name]))
    }
    assert unasked == set()


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_the_group_dev_holds_every_group(name: str) -> None:
    assert group(name) <= group("dev")


def test_the_group_dev_holds_the_broker_of_the_tests() -> None:
    assert set(PROJECT["project"]["optional-dependencies"]["embedded"]) <= group("dev")

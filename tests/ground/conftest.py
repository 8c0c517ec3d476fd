"""What the tests of the ground start from: `dev` as a module, and a tree of their own."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tools.tree import ROOT

Plant = Callable[[str, str], Path]


@pytest.fixture
def dev() -> ModuleType:
    """`./dev` as a module, loaded without being run and without bytecode left beside it."""
    module = ModuleType("dev")
    module.__file__ = str(ROOT / "dev")
    exec(compile((ROOT / "dev").read_text(), "dev", "exec"), module.__dict__)  # noqa: S102 - our own script
    return module


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Return a function that puts a file into an empty tree and returns its path."""

    def put(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return put

"""`./dev`: what it installs, when, and how it hands over."""

import ast
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tools.tree import ROOT


class Installed:
    """A stand-in for the installers: remembers what it was asked to fetch."""

    def __init__(self) -> None:
        self.lists: list[str] = []

    def __call__(self, folder: Path, python: Path, what: list[str]) -> None:
        self.lists.append(Path(what[-1]).read_text() if "-r" in what else " ".join(what))


@pytest.fixture
def installed(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Installed:
    fake = Installed()
    monkeypatch.setattr(dev, "fetch", fake)
    return fake


@pytest.fixture
def lists(dev: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path]:
    """Small requirements files in place of the real ones."""
    texts = {"run": "a==1\n", "all": "a==1\nb==1\n"}
    paths = {scope: tmp_path / f"{scope}.txt" for scope in texts}
    for scope, path in paths.items():
        path.write_text(texts[scope])
    monkeypatch.setattr(dev, "LISTS", paths)
    return paths


def test_an_old_python_can_read_it() -> None:
    """It must get as far as saying that it is too old."""
    ast.parse((ROOT / "dev").read_text(), feature_version=(3, 6))


@pytest.mark.parametrize(("words", "code"), [([], 2), (["help"], 0), (["--help"], 0)])
def test_asked_for_help_it_names_every_verb(
    dev: ModuleType, capsys: pytest.CaptureFixture[str], words: list[str], code: int
) -> None:
    assert dev.main(words) == code
    said = capsys.readouterr().out
    assert all(f"\n  {verb} " in said for verb in dev.VERBS)


def test_an_unknown_verb_is_a_usage_error(
    dev: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dev.main(["tset"]) == 2
    assert "'tset'" in capsys.readouterr().err


def test_arguments_reach_the_program_as_they_were_written(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(dev, "ready", lambda scope: Path(sys.executable))
    monkeypatch.setattr(os, "execvpe", lambda _file, words, _env: became.append(words))
    monkeypatch.chdir(ROOT)
    dev.main(["test", "tests/unit", "-k", "a b", "--", "-x"])
    dev.main(["demo", "--json"])
    dev.main(["survival", "-k", "a b"])
    assert became == [
        [sys.executable, "-m", "pytest", "tests/unit", "-k", "a b", "--", "-x"],
        [sys.executable, "-m", "worker", "demo", "--json"],
        [sys.executable, "-m", "tests.survival", "-k", "a b"],
    ]


def test_another_environment_does_not_leak_into_ours(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`KPLUS_VENV` goes too: the product refuses a `KPLUS_` name that it does not know."""
    for name in (*dev.FOREIGN, "KPLUS_VENV"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("KPLUS_BANK_URL", "kept")
    env = dev.environment(Path("/venv/bin/python"))
    assert "theirs" not in env.values()
    assert env["KPLUS_BANK_URL"] == "kept"
    assert env["PATH"].split(os.pathsep)[0] == "/venv/bin"


def test_packages_are_installed_once(
    dev: ModuleType, installed: Installed, lists: dict[str, Path], tmp_path: Path
) -> None:
    for _ in range(2):
        dev.settle_packages(tmp_path, Path("python"), "all")
    assert installed.lists == [lists["all"].read_text()]


def test_a_changed_file_is_installed_again(
    dev: ModuleType, installed: Installed, lists: dict[str, Path], tmp_path: Path
) -> None:
    dev.settle_packages(tmp_path, Path("python"), "all")
    lists["all"].write_text("a==1\nb==2\n")
    dev.settle_packages(tmp_path, Path("python"), "all")
    assert installed.lists == ["a==1\nb==1\n", "a==1\nb==2\n"]


def test_the_demo_waits_for_no_test_tools(
    dev: ModuleType, installed: Installed, lists: dict[str, Path], tmp_path: Path
) -> None:
    dev.settle_packages(tmp_path, Path("python"), "run")
    dev.settle_packages(tmp_path, Path("python"), "all")
    # What is all there serves the demo too.
    dev.settle_packages(tmp_path, Path("python"), "run")
    assert installed.lists == [lists["run"].read_text(), lists["all"].read_text()]


def test_an_installation_that_failed_is_tried_again(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, lists: dict[str, Path], tmp_path: Path
) -> None:
    def fails(*_: object) -> None:
        raise dev.Trouble("no network")

    monkeypatch.setattr(dev, "fetch", fails)
    for _ in range(2):
        with pytest.raises(dev.Trouble, match="no network"):
            dev.settle_packages(tmp_path, Path("python"), "all")


def test_the_project_is_installed_again_when_its_definition_changes(
    dev: ModuleType, installed: Installed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = tmp_path / "pyproject.toml"
    monkeypatch.setattr(dev, "PROJECT", project)
    for text in ("a = 1", "a = 1", "a = 2"):
        project.write_text(text)
        dev.settle_project(tmp_path, Path("python"))
    assert len(installed.lists) == 2


@pytest.mark.parametrize(
    ("uv_says", "pip_comes"), [("exit 0", False), ("exit 1", True), (None, True)]
)
def test_pip_takes_over_where_uv_is_missing_or_fails(
    dev: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    uv_says: str | None,
    *,
    pip_comes: bool,
) -> None:
    if uv_says is not None:
        (tmp_path / "uv").write_text(f"#!/bin/sh\n{uv_says}\n")
        (tmp_path / "uv").chmod(0o755)
    ran: list[list[str]] = []
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(dev, "pip_outside", lambda: True)
    monkeypatch.setattr(dev, "run", lambda command, _failure: ran.append(command))
    dev.fetch(tmp_path / "venv", Path("venv-python"), ["--require-hashes", "-r", "list"])
    assert bool(ran) is pip_comes
    for command in ran:
        assert command[:5] == [sys.executable, "-m", "pip", "--python", "venv-python"]
        assert command[-3:] == ["--require-hashes", "-r", "list"]


def test_an_older_python_looks_for_a_newer_one(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert dev.newer_python() is None
    (tmp_path / "python3.12").symlink_to(sys.executable)
    assert dev.newer_python() == str(tmp_path / "python3.12")

"""The rules of the tree: each finds what it should. `./dev check` holds this tree to them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ground.conftest import Plant
from tools import tree


def test_a_module_above_320_lines_is_found(plant: Plant, tmp_path: Path) -> None:
    paths = [plant("worker/long.py", "x = 1\n" * 321), plant("worker/full.py", "x = 1\n" * 320)]
    assert list(tree.too_long(paths, tmp_path)) == ["worker/long.py: 321 lines, 320 at most"]


def test_a_page_wider_than_120_characters_is_found(plant: Plant, tmp_path: Path) -> None:
    """In prose and in code alike; a table has no place to break."""
    wide = f"{'w' * 120}\n{'w' * 121}\n    {'w' * 117}\n| {'w' * 200} |\n"
    page = plant("pages/page.md", wide)
    module = plant("worker/page.py", f"# {'w' * 200}\n")
    assert list(tree.too_wide([page, module], tmp_path)) == [
        "pages/page.md:2: 121 characters",
        "pages/page.md:3: 121 characters",
    ]


@pytest.mark.parametrize("name", ["worker/utils.py", "worker/common/x.py", "worker/sub/base.py"])
def test_a_room_for_leftovers_is_found(plant: Plant, tmp_path: Path, name: str) -> None:
    found = list(tree.nameless([plant(name, "")], tmp_path))
    assert len(found) == 1
    assert name in found[0]


def test_a_module_without_a_layer_breaks_the_contract(tmp_path: Path) -> None:
    """The import contract is exhaustive: a room is given a layer before it is given code."""
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(tree.ROOT / "worker", tmp_path / "worker", ignore=leave)
    shutil.copy(tree.ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "worker" / "utils.py").touch()
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "- worker.utils\n" in done.stdout


@pytest.mark.parametrize(
    "line",
    [
        "https://py" + "pi.org/simple",
        "files.python" + "hosted.org",
        "ghcr" + ".io/someone/image",
        "cd /wor" + "k/here",
        "cd /hom" + "e/somebody/src",
        "open('/tm" + "p/scratch/file')",
    ],
)
def test_a_trace_of_a_machine_is_found(plant: Plant, tmp_path: Path, line: str) -> None:
    path = plant("notes.txt", f"fine\n{line}\n")
    assert [found.rpartition(":")[0] for found in tree.strays([path], tmp_path)] == ["notes.txt:2"]


@pytest.mark.parametrize(
    "line", ["tmpfs: [/tmp]", "https://bank.example/home/x", "KPLUS_HOME=/tmp/kplus"]
)
def test_what_only_looks_like_a_trace_is_left_alone(
    plant: Plant, tmp_path: Path, line: str
) -> None:
    assert list(tree.strays([plant("notes.txt", line)], tmp_path)) == []


def test_a_picture_is_not_read(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\xff\xfe")
    assert list(tree.strays([picture], tmp_path)) == []


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("[x](there.md)", False),
        ("[x](there.md#the-second-heading)", False),
        ("[x](there.md#no-such-heading)", True),
        ("[x](gone.md)", True),
        ("[x](#here)", False),
        ("[x](#nowhere)", True),
        ("[x](https://bank.example/gone)", False),
        ("```\n[x](gone.md)\n```", False),
    ],
)
def test_a_link_that_leads_nowhere_is_found(
    plant: Plant, tmp_path: Path, link: str, *, dead: bool
) -> None:
    plant("pages/there.md", "# There\n\n## The second `heading`\n")
    page = plant("pages/page.md", f"# Here\n\n{link}\n")
    assert bool(list(tree.dead_links([page], tmp_path))) is dead


@pytest.mark.parametrize(
    ("name", "text", "lost"),
    [
        ("README.md", "look into `worker/there.py`", False),
        ("README.md", "look into `worker/gone.py`", True),
        ("README.md", "the folder `worker/`, the setting `KPLUS_X`, the words `and/or`", False),
        ("CHANGELOG.md", "`worker/gone.py` has become `worker/there.py`", False),
        ("worker/there.py", "raise SystemExit('see docs" + "/gone.md')", True),
        ("worker/there.py", "# why: docs" + "/there.md, and `worker/gone.py`", False),
    ],
)
def test_a_file_that_is_named_and_gone_is_found(
    plant: Plant, tmp_path: Path, name: str, text: str, *, lost: bool
) -> None:
    """A page names any file of ours; a message or a comment names pages."""
    plant("worker/there.py", "")
    plant("docs" + "/there.md", "")
    assert bool(list(tree.lost_paths([plant(name, text)], tmp_path))) is lost


def test_without_git_the_made_things_are_left_out(plant: Plant, tmp_path: Path) -> None:
    """A tree may come as an archive."""
    kept = [plant("worker/a.py", ""), plant(".ci/run", "")]
    plant(".venv/lib/b.py", "")
    plant("worker/__pycache__/a.pyc", "")
    assert tree.files(tmp_path) == sorted(kept)

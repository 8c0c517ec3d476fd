"""What failed is run once more, alone; it passes for flaky only if it then ran and passed."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.waiting import LIMIT
from tools.again import MOST
from tools.tree import ROOT

FIRST = """
import os, pathlib, pytest

def first_time():
    mark = pathlib.Path(os.environ["MARK"])
    first = not mark.exists()
    mark.touch()
    return first
"""
BODIES = {
    "passes": "def test_it(): pass",
    "flaky": "def test_it(): assert not first_time()",
    "steady": "def test_it(): raise AssertionError",
    "setup-flaky": """
@pytest.fixture
def server():
    assert not first_time()

def test_it(server): pass
""",
    "setup-steady": """
@pytest.fixture
def server():
    raise OSError("no server")

def test_it(server): pass
""",
    "teardown-steady": """
@pytest.fixture
def server():
    yield
    raise OSError("it would not stop")

def test_it(server): pass
""",
    "process-flaky": """
def test_it():
    if first_time():
        os._exit(9)
""",
    "process-steady": "def test_it(): os._exit(9)",
    "skipped-then": """
def test_it():
    assert not first_time()

@pytest.fixture(autouse=True)
def there():
    if pathlib.Path(os.environ["MARK"]).exists():
        pytest.skip("not at hand")
""",
    "unreadable": "import nothing_of_this_name",
    "empty": "",
    "many": "\n".join(f"def test_{n}(): raise AssertionError" for n in range(MOST + 1)),
}

Told = tuple[int, str]
Again = Callable[..., Told]


@pytest.fixture
def again(tmp_path: Path) -> Again:
    """Play files of tests with these bodies, two at a time; return exit code and output."""

    def play(*bodies: str) -> Told:
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
        for body in bodies:
            mark = tmp_path / f"{body}.mark"
            text = FIRST.replace('os.environ["MARK"]', repr(str(mark)))
            rest = BODIES[body].replace('os.environ["MARK"]', repr(str(mark)))
            name = f"test_{body.replace('-', '_')}.py"
            (tmp_path / name).write_text(text + rest + "\n")
        done = subprocess.run(
            [sys.executable, "-m", "tools.again", "-p", "xdist", "-n", "2"],
            cwd=tmp_path,
            # Without the plugins of this project each of the many runs starts at once.
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=LIMIT,
        )
        return done.returncode, done.stdout

    return play


def named(told: str, word: str) -> set[str]:
    """Return the tests that are named so, in words of `BODIES`."""
    found = re.findall(rf"^{word}: test_(\w+)\.py::", told, re.MULTILINE)
    return {name.replace("_", "-") for name in found}


def test_what_passes_alone_is_named_and_fails_nothing(again: Again) -> None:
    flaky = {"flaky", "setup-flaky", "process-flaky"}
    code, told = again("passes", *flaky)
    assert (code, named(told, "flaky"), named(told, "failed again")) == (0, flaky, set()), told


def test_what_fails_again_fails_the_run_whatever_else_was_flaky(again: Again) -> None:
    """A test that is skipped the second time has not passed."""
    steady = {"steady", "setup-steady", "teardown-steady", "process-steady", "skipped-then"}
    code, told = again("passes", "flaky", *steady)
    assert (code, named(told, "flaky"), named(told, "failed again")) == (1, {"flaky"}, steady), told


@pytest.mark.parametrize(
    ("bodies", "code"),
    [
        (["flaky", "unreadable"], pytest.ExitCode.TESTS_FAILED),
        (["empty"], pytest.ExitCode.NO_TESTS_COLLECTED),
        (["many"], pytest.ExitCode.TESTS_FAILED),
        (["passes"], pytest.ExitCode.OK),
    ],
)
def test_what_is_no_accident_is_not_run_again(
    again: Again, bodies: list[str], code: pytest.ExitCode
) -> None:
    """Files that cannot be read, no test at all, a great many failures; and none."""
    found, told = again(*bodies)
    assert (found, "once more" in told) == (code, False), told

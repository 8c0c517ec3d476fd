"""
Run the tests, and what failed once more, alone: `./dev test --again [ARGUMENT ...]`.

A test that passes then is named as flaky and fails nothing; one that fails again fails the run.
A test that is named twice is a defect, and is mended.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

MOST = 20
"""More failures than these are no accident of a busy machine: nothing is run again."""


class Failures:
    """A plugin that notes what failed: calls, fixtures, and tests whose process died."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.folder = Path()
        self.uncollected = False

    def pytest_configure(self, config: pytest.Config) -> None:
        """Note where the names start from."""
        self.folder = config.rootpath

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note that something could not even be read: nobody knows what would have failed in it."""
        self.uncollected |= report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure once, whether of the test, of a fixture, or of both."""
        if report.failed and report.nodeid not in self.names:
            self.names.append(report.nodeid)


def main(arguments: Sequence[str]) -> int:
    """Run pytest with these arguments; return its exit code, 0 where all failures were flaky."""
    seen = Failures()
    code = int(pytest.main(list(arguments), plugins=[seen]))
    # Interrupted, nothing collected, an internal error: no test failed that could be run again.
    if code != pytest.ExitCode.TESTS_FAILED or seen.uncollected or not seen.names:
        return code
    if len(seen.names) > MOST:
        print(f"{len(seen.names)} tests failed; more than {MOST} are not run again")
        return code
    print(f"\nonce more, each alone: {len(seen.names)} tests", flush=True)
    again = [name for name in seen.names if not passes(name, seen.folder)]
    for name in seen.names:
        print(f"{'failed again' if name in again else 'flaky'}: {name}")
    return code if again else 0


def passes(name: str, folder: Path) -> bool:
    """Run one test in a process of its own; tell whether it ran and passed."""
    with tempfile.TemporaryDirectory() as place:
        told = Path(place, "told.xml")
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={told}"]
        done = subprocess.run([*command, name], cwd=folder, check=False)
        if done.returncode:
            return False
        # The exit code of a test that was skipped is 0 as well.
        suite = ET.parse(told).getroot()[0]  # noqa: S314 - pytest's own words
        return (suite.get("tests"), suite.get("skipped")) == ("1", "0")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

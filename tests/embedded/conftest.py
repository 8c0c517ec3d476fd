"""Processes that use an embedded broker, to be killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.servers.schema import ROOT
from tests.servers.waiting import LIMIT
from worker.broker.embedded import EmbeddedBroker, ensure

LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")

USER = """
import json, signal, sys
from pathlib import Path
from worker.broker.embedded import ensure
from worker.telemetry.log import configure_logging
configure_logging(json=True)
broker = ensure(Path(sys.argv[1]))
print(json.dumps({"url": broker.url, "owned": broker.owned, "server": broker.pid}), flush=True)
{more}
signal.pause()
"""


class Child:
    """A process of its own that uses the broker of a home, then waits."""

    def __init__(self, home: Path, *, more: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", USER.replace("{more}", more), str(home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def says(self) -> Any:
        """Return what it says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.ends()
        return json.loads(line)

    def kill(self) -> None:
        """End it outright."""
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait(LIMIT)

    def ends(self) -> str:
        """End it, and return what it logged."""
        if self._process.poll() is None:
            self.kill()
        assert self._process.stderr is not None
        return self._process.stderr.read().decode()

    def close(self) -> None:
        self.ends()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


StartChild = Callable[..., Child]
Ensure = Callable[[], EmbeddedBroker]


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits to be collected does not."""
    state = Path(f"/proc/{pid}/stat")
    try:
        os.kill(pid, 0)
        # It may end between any two of these, also while its state is read.
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def guard_of(server: int) -> int:
    """Return the process id of the guard: it is the server's parent."""
    return int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "a home, with 'quotes'"


@pytest.fixture
def start_child(home: Path) -> Iterator[StartChild]:
    """Processes over the same home, gone with the test."""
    with ExitStack() as stack:

        def start(*, more: str = "") -> Child:
            child = Child(home, more=more)
            stack.callback(child.close)
            return child

        yield start


@pytest.fixture
def ensured(home: Path) -> Iterator[Ensure]:
    """Brokers of the home in this process, stopped with the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(ensure(home))

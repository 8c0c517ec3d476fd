"""Real worker processes, started as users start them, gone with the test."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.servers.schema import ROOT
from tests.servers.waiting import LIMIT, eventually
from worker.broker.embedded.guarded import Guarded, Order
from worker.sandbox import Sandbox

COMMAND: Final = (sys.executable, "-m", "worker")
"""`kplus-cancel`, of this checkout."""

CELERY: Final = (sys.executable, "-m", "celery", "-A", "worker")
"""What a Celery user types first."""

READY: Final = " ready."
"""What a worker logs once it takes messages."""

PARTNER_ID: Final = "KP2XXX000033159"
SECRET: Final = "canary-c2VjcmV0LW9mLXRoZS1wYXJ0bmVy"


class WorkerProcess:
    """One worker, its log, and the ways to end it."""

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        *,
        arguments: Sequence[str] = (),
        command: Sequence[str] = COMMAND,
    ) -> None:
        folder.mkdir(parents=True)
        self.log = folder / "log"
        order = Order(
            [*command, "worker", *arguments],
            # Its own folder: no `.env` of the project's is read.
            options={"cwd": str(folder), "env": clean_environment() | dict(environment)},
        )
        self._guarded = Guarded(order, log=self.log)

    @property
    def pid(self) -> int:
        """The worker's process id; with prefork, that of the main process."""
        assert self._guarded.pid is not None, self.told()
        return self._guarded.pid

    @property
    def running(self) -> bool:
        """Tell whether it still runs."""
        return self._guarded.running

    def told(self) -> str:
        """Return everything it wrote so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_until_ready(self) -> None:
        """Return once it takes messages; fail with its words where it ends before."""
        self.wait_until(lambda: READY in self.told())

    def wait_until(self, check: Callable[[], object]) -> None:
        """Wait like `eventually`, but not for a worker that has ended."""
        eventually(lambda: check() or not self.running, saying=lambda: self.told()[-4000:])
        assert self.running or check(), f"the worker ended:\n{self.told()[-4000:]}"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def stop(self) -> int:
        """Ask it to end, as a supervisor does; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it outright, as the kernel does when memory runs out."""
        self.signal(signal.SIGKILL)
        self.wait()

    def abort(self) -> str:
        """End it so that it says where its threads stand; return everything it wrote."""
        with suppress(ProcessLookupError):  # it may have ended by itself
            self.signal(signal.SIGCONT)  # it may be stopped
            self.signal(signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            self.wait()
        return self.told()

    def wait(self) -> int:
        """Return its exit code; 128 and the signal where it was killed."""
        return self._guarded.wait(LIMIT)

    def close(self) -> None:
        """End it in whatever state it is."""
        if self._guarded.running:
            # Not asked first: a test that cares has stopped it, and one that failed may hang.
            with suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
        self._guarded.end()


StartWorker = Callable[..., WorkerProcess]


def clean_environment() -> dict[str, str]:
    """Return this process's environment without settings, so that only the given ones count."""
    rest = {name: value for name, value in os.environ.items() if not _is_setting(name)}
    # With the last one a program that is aborted says where each of its threads stands.
    ours = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    return rest | ours


def _is_setting(name: str) -> bool:
    return name.upper().startswith(("KPLUS_", "CELERY_", "COV_"))


@pytest.fixture
def settings_env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """An environment without settings, in a folder without `.env`; a call sets some."""
    for name in [name for name in os.environ if _is_setting(name)]:
        if not name.startswith("KPLUS_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KPLUS_HOME", str(tmp_path / "home"))

    def give(**settings: Any) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(name, str(value))

    return give


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A simulated bank that knows nothing yet; it must not stumble over anything itself."""
    with Sandbox(secrets={PARTNER_ID: SECRET}) as bank:
        yield bank
        assert bank.faults == []


@pytest.fixture
def worker_env(
    worker_database: str, broker_url: str, sandbox: Sandbox, tmp_path: Path
) -> dict[str, str]:
    """The settings of a worker on the test's database, broker and bank."""
    return {
        "KPLUS_HOME": str(tmp_path / "home"),
        "KPLUS_DATABASE_URL": worker_database,
        "KPLUS_BROKER_URL": broker_url,
        "KPLUS_BANK_URL": sandbox.cancel_url,
        "KPLUS_PARTNER_ID": PARTNER_ID,
        "KPLUS_PARTNER_SECRET": SECRET,
        "KPLUS_SWEEP_SECONDS": "0.2",
    }


@pytest.fixture
def worker_process(tmp_path: Path) -> Iterator[StartWorker]:
    """Starts workers with the settings given; each is ready when it is returned."""
    with ExitStack() as stack:
        started = 0

        def start(
            environment: Mapping[str, str],
            *arguments: str,
            ready: bool = True,
            command: Sequence[str] = COMMAND,
        ) -> WorkerProcess:
            nonlocal started
            started += 1
            folder = tmp_path / f"worker-{started}"
            worker = WorkerProcess(environment, folder, arguments=arguments, command=command)
            stack.callback(worker.close)
            if ready:
                worker.wait_until_ready()
            return worker

        yield start

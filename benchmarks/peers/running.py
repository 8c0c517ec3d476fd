"""The programs of the other libraries, run in their own environment."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.peers.contenders import Orders
from benchmarks.peers.job.given import Given
from benchmarks.peers.job.program import READY
from benchmarks.processes import Process, kill, tree
from tests.servers.waiting import eventually
from tests.servers.workers import clean_environment
from tools.tree import ROOT
from worker.broker.embedded.guarded import Guarded, Order


@dataclass(frozen=True, slots=True)
class Program:
    """One library's program on its servers."""

    folder: Path
    """Where its logs go."""
    python: Path
    module: str
    given: Given

    @contextmanager
    def working(self) -> Iterator[int]:
        """Yield the process id of a worker that takes messages; it ends with all it started."""
        log = self._log("work")
        order = Order(self._command("work"), options={"cwd": str(ROOT), "env": self._environment()})
        guarded = Guarded(order, log=log)
        started: list[Process] = []
        try:
            eventually(
                lambda: READY in log.read_text() or not guarded.running,
                within=60,
                saying=log.read_text,
            )
            assert guarded.running, f"{self.module} ended:\n{log.read_text()}"
            assert guarded.pid is not None
            started = tree(guarded.pid)
            yield guarded.pid
        finally:
            guarded.end()
            kill(started)

    @contextmanager
    def filling(self) -> Iterator["Filler"]:
        """Yield what fills the queue by the library's own producer."""
        log = self._log("fill")
        with (
            log.open("w") as errors,
            subprocess.Popen(
                self._command("fill"),
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            filler = Filler(process.stdin, process.stdout, log)
            filler.wait_until_ready()
            yield filler
            # Its end: it has no more lines to read.
            process.stdin.close()

    def _command(self, word: str) -> list[str]:
        return [str(self.python), "-m", self.module, word]

    def _environment(self) -> dict[str, str]:
        return clean_environment() | self.given.told()

    def _log(self, word: str) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder)) / f"{word}.log"


@dataclass(frozen=True, slots=True)
class Filler:
    """A program that puts orders into the queue of a library, one list a line."""

    lines: IO[str]
    answers: IO[str]
    log: Path

    def wait_until_ready(self) -> None:
        """Return once it reads its lines."""
        while READY not in self._answer():
            pass

    def fill(self, brought: Orders) -> float:
        """Hand over orders, by their uids; return when the worker could have them."""
        self.lines.write(json.dumps([each["partnerTxnUid"] for each in brought]) + "\n")
        self.lines.flush()
        return float(self._answer())

    def _answer(self) -> str:
        line = self.answers.readline()
        assert line, f"the program that fills the queue ended:\n{self.log.read_text()}"
        return line

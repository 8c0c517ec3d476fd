"""Many commands in one process of their own: each with its own folder, files and settings."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.waiting import LIMIT
from tests.servers.workers import clean_environment

SCRIPT = f"""
import io, json, os, signal, sys
from worker.cli import main

def run(given):
    os.chdir(given["folder"])
    os.environ.clear()
    os.environ.update(given["environment"])
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace") for _ in "12")
    kept = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    signal.setitimer(signal.ITIMER_REAL, {LIMIT})
    try:
        code = main(given["arguments"])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout, sys.stderr = kept
    for stream in (out, err):
        stream.flush()
    return {{"code": code, "out": out.buffer.getvalue().decode(),
             "err": err.buffer.getvalue().decode()}}

def overdue(*_):
    raise TimeoutError("it still ran after {LIMIT:g} s")

signal.signal(signal.SIGALRM, overdue)
print(json.dumps([run(given) for given in json.load(sys.stdin)]))
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, the settings and files it finds, and what has to come of it."""

    arguments: tuple[str, ...]
    code: int
    says: tuple[str, ...] = ()
    settings: Mapping[str, str | None] = field(default_factory=dict)
    files: Mapping[str, bytes | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """All that it wrote."""
        return self.out + self.err


def run_all(
    commands: Mapping[str, Command], environment: Mapping[str, str], folder: Path
) -> dict[str, Heard]:
    """Run them one after the other in one process; return what became of each."""
    given = [
        _prepared(command, environment, folder / str(number))
        for number, command in enumerate(commands.values())
    ]
    folder.mkdir(exist_ok=True)
    ended = _python(["-c", SCRIPT], folder=folder, told=json.dumps(given))
    heard = (Heard(**each) for each in json.loads(ended.stdout))
    return dict(zip(commands, heard, strict=True))


def run_alone(command: Command, environment: Mapping[str, str], folder: Path) -> Heard:
    """Run one as users do: in a process of its own."""
    given = _prepared(command, environment, folder)
    ended = _python(
        ["-m", "worker", *command.arguments], folder=folder, environment=given["environment"]
    )
    return Heard(ended.returncode, ended.stdout, ended.stderr)


def _python(
    arguments: Iterable[str],
    *,
    folder: Path,
    told: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, *arguments],
        input=told,
        cwd=folder,
        env=environment or clean_environment(),
        text=True,
        capture_output=True,
        # Of many each has the limit to itself, as said above.
        timeout=None if told else LIMIT,
        check=False,
    )
    assert told is None or ended.returncode == 0, ended.stderr
    return ended


def _prepared(command: Command, environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Make the folder with its files; return what the process is told."""
    folder.mkdir(parents=True)
    for name, content in command.files.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)
    settings = {**clean_environment(), **environment, **command.settings}
    return {
        "arguments": command.arguments,
        "folder": str(folder),
        "environment": {name: value for name, value in settings.items() if value is not None},
    }

"""The heartbeat of each worker on this machine: a small file in the home, for health checks."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from worker.private import private_file, private_folder
from worker.process.liveness import Stall
from worker.telemetry.log import get_logger

log = get_logger(__name__)

FOLDER = "workers"
LENGTH = 2000
"""Bytes of the file: always the same, so that nothing of an earlier, longer beat remains."""
LONGEST_REASON = 300
"""Characters that are written of a stall: JSON may take six bytes for each."""


@dataclass(frozen=True, slots=True)
class Beat:
    """
    The last heartbeat of a living worker: its age in seconds, and what stalls, if anything.

    `fails`: something fails again and again; else something hangs.
    """

    pid: int
    age: float
    stalled: str | None
    fails: bool = False


class Heartbeat:
    """
    The heartbeat of this process. A folder that cannot be written is logged once, and harmless.

    The process locks its file for as long as it lives. The file of a killed process is not
    locked, even if another process has got the same id.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / FOLDER / f"{os.getpid()}.json"
        self._file: TextIO | None = None
        self._failed = False

    def beat(self, stall: Stall | None) -> None:
        """Write that this process lives, and what stalls, if anything."""
        if self._failed:
            return
        try:
            stalled = None if stall is None else str(stall)[:LONGEST_REASON]
            fails = stall is not None and bool(stall.reason)
            self._write({"at": time.monotonic(), "stalled": stalled, "fails": fails})
        except OSError as error:
            self._failed = True
            log.warning("no_pulse", file=str(self._path), reason=error.strerror)

    def close(self) -> None:
        """Remove the file: this worker ends."""
        if self._file is not None:
            with suppress(OSError):
                self._path.unlink()
            self._file.close()
            self._file = None

    def _write(self, beat: dict[str, object]) -> None:
        if self._file is None:
            self._file = self._open()
        # One write of a line shorter than a page: a reader sees either this beat or the last one.
        os.pwrite(self._file.fileno(), json.dumps(beat).ljust(LENGTH).encode(), 0)

    def _open(self) -> TextIO:
        private_folder(self._path.parent.parent)
        private_folder(self._path.parent)
        _remove_leftovers(self._path.parent)
        draft = self._path.with_suffix(".new")
        file = os.fdopen(private_file(draft, os.O_TRUNC), "w", encoding="utf-8")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # It gets its name once it is locked: without a lock it would look like a leftover.
        draft.rename(self._path)
        return file


def read_heartbeats(home: Path) -> list[Beat]:
    """Return the last heartbeat of each living worker of this home."""
    return list(_read_beats(home / FOLDER))


def _read_beats(folder: Path) -> Iterator[Beat]:
    for path in sorted(folder.glob("*.json")):
        with suppress(OSError, ValueError), path.open(encoding="utf-8") as file:
            if _is_held(file):
                beat = json.load(file)
                age = time.monotonic() - beat["at"]
                yield Beat(int(path.stem), age, beat["stalled"], fails=beat.get("fails", False))


def _remove_leftovers(folder: Path) -> None:
    """Remove the files of killed workers."""
    for path in folder.glob("*.json"):
        with suppress(OSError), path.open(encoding="utf-8") as file:
            if not _is_held(file):
                path.unlink()


def _is_held(file: TextIO) -> bool:
    """Say whether a living process has locked the file."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False

"""The pulse of each worker of this machine: a small file in the home, for health checks."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.telemetry.log import get_logger

log = get_logger(__name__)

FOLDER = "workers"
LENGTH = 200
"""Bytes of what is said; always the same, so that none of the last word is left over."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a living worker said last: seconds since then, and what stalls, if anything."""

    pid: int
    age: float
    stalled: str | None


class Heartbeat:
    """
    The pulse of this process. A folder that cannot be written is said once, and harms nothing.

    The file is locked for as long as the process lives; so one that was killed leaves a
    file that nobody holds, whatever becomes of its number.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / FOLDER / f"{os.getpid()}.json"
        self._file: Any = None
        self._failed = False

    def beat(self, *, stalled: str | None) -> None:
        """Say that this process lives, and what stalls, if anything."""
        if self._failed:
            return
        try:
            self._write({"at": time.monotonic(), "stalled": stalled})
        except OSError as error:
            self._failed = True
            log.warning("no_pulse", file=str(self._path), reason=error.strerror)

    def close(self) -> None:
        """Take the file away: there is no such worker any more."""
        if self._file is not None:
            with suppress(OSError):
                self._path.unlink()
            self._file.close()
            self._file = None

    def _write(self, said: dict[str, object]) -> None:
        if self._file is None:
            self._file = self._opened()
        # One write of a line shorter than a page: a reader sees this one or the one before.
        os.pwrite(self._file.fileno(), json.dumps(said).ljust(LENGTH).encode(), 0)

    def _opened(self) -> Any:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear(self._path.parent)
        unseen = self._path.with_suffix(".new")
        file = unseen.open("w", encoding="utf-8")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Seen only once it is held: until then it would look like one that was left behind.
        unseen.rename(self._path)
        return file


def beats(home: Path) -> list[Beat]:
    """Return what the living workers of this home said last."""
    return list(_beats(home / FOLDER))


def _beats(folder: Path) -> Iterator[Beat]:
    for path in sorted(folder.glob("*.json")):
        with suppress(OSError, ValueError), path.open(encoding="utf-8") as file:
            if _is_held(file):
                said = json.load(file)
                yield Beat(int(path.stem), time.monotonic() - said["at"], said["stalled"])


def _clear(folder: Path) -> None:
    """Remove what killed workers left behind."""
    for path in folder.glob("*.json"):
        with suppress(OSError), path.open(encoding="utf-8") as file:
            if not _is_held(file):
                path.unlink()


def _is_held(file: Any) -> bool:
    """Say whether a living process holds the file."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False

"""Programs that may fork: their processor time, and their end, with all that they started."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the kernel's table."""

    pid: int
    parent: int
    seconds: float
    """Its own processor time, and that of its children that ended and were waited for."""

    @classmethod
    def read(cls, stat: str) -> Self:
        """Read a `/proc/PID/stat`; a program's name may hold anything, spaces and brackets too."""
        pid, _, rest = stat.partition(" ")
        fields = rest.rpartition(")")[2].split()
        return cls(int(pid), int(fields[1]), sum(map(int, fields[11:15])) / TICKS)


def processes() -> list[Process]:
    """Return every process that runs now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        # It may have ended meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append(Process.read(path.read_text(errors="replace")))
    return found


def tree(root: int) -> list[Process]:
    """Return a process, and all that it and they have started."""
    known = {each.pid: each for each in processes()}
    found = [known[root]] if root in known else []
    for each in found:
        found.extend(other for other in known.values() if other.parent == each.pid)
    return found


def tree_seconds(root: int) -> float:
    """Return the processor time of a whole tree; what ended in it is counted by its parent."""
    return sum(each.seconds for each in tree(root))


def kill(left: list[Process]) -> None:
    """End those that still run."""
    for each in left:
        with suppress(ProcessLookupError):
            os.kill(each.pid, signal.SIGKILL)

"""A program that ends with this process, however this process ends."""

import json
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GUARD = Path(__file__).with_name("guard.py")
PATIENCE = 15.0
"""Seconds for the guard to end its program and itself; it takes five at most."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a guard is told: through a pipe, since a command line is there for all to read."""

    command: Sequence[str]
    input: str = field(default="", repr=False)
    """What the program reads from its standard input."""
    signal: int = signal.SIGTERM
    """What asks the program to end."""
    remove: Sequence[Path] = ()
    """Files and folders that must not outlive the program."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Further arguments of `Popen`, such as `cwd`, `env` and `user`."""

    def line(self) -> bytes:
        """Return the order as the guard reads it."""
        return (
            json.dumps(
                {
                    "command": [str(word) for word in self.command],
                    "input": self.input,
                    "signal": int(self.signal),
                    "remove": [str(path.absolute()) for path in self.remove],
                    "options": dict(self.options),
                }
            ).encode()
            + b"\n"
        )


class Guarded:
    """
    A running program, its guard, and the pipe that ties both to this process.

    What the program writes goes to `log`. `hold` are file descriptors that the guard
    keeps open for as long as the program runs, such as that of a locked file.
    """

    def __init__(self, order: Order, *, log: Path, hold: Sequence[int] = ()) -> None:
        with log.open("ab") as written:
            self._guard = subprocess.Popen(  # noqa: S603 -- our own script
                [sys.executable, "-I", "-S", str(GUARD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=written,
                # A buffer has a lock, and a fork may happen while it is held.
                bufsize=0,
                pass_fds=hold,
                # A Ctrl-C in the terminal is for us: we may need the program until our own end.
                start_new_session=True,
                env=_environment(),
            )
        _all.add(self)
        self.pid = self._begin(order)

    def _begin(self, order: Order) -> int | None:
        """Hand the order over; return the program's process id, None where it did not start."""
        assert self._guard.stdin is not None  # noqa: S101 -- both are pipes, see above
        assert self._guard.stdout is not None  # noqa: S101
        try:
            self._guard.stdin.write(order.line())
            answer = self._guard.stdout.readline()
        except OSError:
            answer = b""
        return int(answer) if answer else None

    @property
    def running(self) -> bool:
        """Tell whether the guard, and so the program, still runs."""
        return self._guard.poll() is None

    def wait(self, within: float = PATIENCE) -> int:
        """Return the program's exit code; raises `subprocess.TimeoutExpired`."""
        return self._guard.wait(within)

    def end(self) -> int:
        """End the program and its guard; return the program's exit code."""
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                pipe.close()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self._guard.kill()
            return self._guard.wait()

    def leave_to_parent(self) -> None:
        """
        Let go of it in a forked child.

        A copy of the pipe here would keep the guard waiting after the parent's death.
        """
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                pipe.close()
        # Nobody here may wait for another process's child.
        self._guard.returncode = 0


_all: "weakref.WeakSet[Guarded]" = weakref.WeakSet()


def _forget_all() -> None:
    for guarded in list(_all):
        guarded.leave_to_parent()
    _all.clear()


os.register_at_fork(after_in_child=_forget_all)


def _environment() -> dict[str, str]:
    """Return ours without the settings: neither guard nor program has a use for secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KPLUS_")}

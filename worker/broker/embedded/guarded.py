"""A program that ends with this process, even if this process is killed."""

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
END_TIMEOUT_SECONDS = 15.0
"""Time for the guard to end its program and itself. It takes five seconds at most."""


@dataclass(frozen=True, slots=True)
class Order:
    """The order to a guard. It goes through a pipe: everybody can read a command line."""

    command: Sequence[str]
    input: str = field(default="", repr=False)
    """The program's standard input."""
    signal: int = signal.SIGTERM
    """The signal that asks the program to end."""
    remove: Sequence[Path] = ()
    """Files and folders that must not outlive the program."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Further arguments of `Popen`, such as `cwd`, `env` and `user`."""

    def line(self) -> bytes:
        """Return the order as one line for the guard."""
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

    The program's output goes to `log`. `hold` are file descriptors that the guard keeps open while
    the program runs, such as that of a locked file.
    """

    def __init__(self, order: Order, *, log: Path, hold: Sequence[int] = ()) -> None:
        with log.open("ab") as written:
            self._guard = subprocess.Popen(  # noqa: S603 -- our own script
                [sys.executable, "-I", "-S", str(GUARD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=written,
                # A buffer has a lock, and a fork could copy it locked.
                bufsize=0,
                pass_fds=hold,
                # Ctrl-C in the terminal must not end the program: we may need it until we end.
                start_new_session=True,
                env=_environment(),
            )
        _all.add(self)
        self.pid = self._begin(order)

    def _begin(self, order: Order) -> int | None:
        """Send the order. Return the program's process id, or None if it did not start."""
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
        """Whether the guard, and so the program, still runs."""
        return self._guard.poll() is None

    def wait(self, within: float = END_TIMEOUT_SECONDS) -> int:
        """Return the program's exit code. Raises `subprocess.TimeoutExpired`."""
        return self._guard.wait(within)

    def end(self) -> int:
        """End the program and its guard. Return the program's exit code."""
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
        Close the pipes in a forked child.

        An open copy would keep the guard waiting after the parent has ended.
        """
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                pipe.close()
        # A child cannot wait for a process that its parent started.
        self._guard.returncode = 0


_all: "weakref.WeakSet[Guarded]" = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    for guarded in list(_all):
        guarded.leave_to_parent()
    _all.clear()


os.register_at_fork(after_in_child=_leave_all_to_parent)


def _environment() -> dict[str, str]:
    """Return our environment without the settings: the guard and the program need no secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KPLUS_")}

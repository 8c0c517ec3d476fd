"""
Runs one program, and ends it when the process that started the guard ends or is killed.

It is a script that imports only the standard library, so that it starts in some ten
milliseconds. The first line of its input is the order, as JSON. The end of its input means that
its parent has ended, also by SIGKILL. It writes the program's process id to its output.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

SET_PARENT_DEATH_SIGNAL = 1
"""`PR_SET_PDEATHSIG` of prctl(2)."""
END_TIMEOUT_SECONDS = 5.0
"""Time for the program to end by itself. After that it is killed."""


def main() -> int:
    """Carry out the order. Return the program's exit code, as a shell does."""
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    order = json.loads(line)
    try:
        program = start(order)
        threading.Thread(target=watch, args=(program, order), daemon=True).start()
        try:
            sys.stdout.write(f"{program.pid}\n")
            sys.stdout.flush()
            sys.stdin.buffer.read()
        finally:
            end(program, order["signal"])
    finally:
        remove(order["remove"])
    return code(program)


def start(order: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """Start the program. Its output goes to the guard's standard error."""
    program = subprocess.Popen(  # noqa: S603 -- the order comes from our parent
        order["command"],
        stdin=subprocess.PIPE,
        stdout=sys.stderr,
        # There is one thread yet, so that it is safe.
        preexec_fn=ending_with_parent(),  # noqa: PLW1509
        **order["options"],
    )
    if program.stdin is not None:
        program.stdin.write(order["input"].encode())
        program.stdin.close()
    return program


def ending_with_parent() -> Callable[[], None] | None:
    """Return what lets a new process end if the guard itself is killed, or None but on Linux."""
    if sys.platform != "linux":
        return None
    import ctypes  # noqa: PLC0415 -- needed here alone

    set_option, guard = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        set_option(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)

    return tie


def watch(program: "subprocess.Popen[bytes]", order: dict[str, Any]) -> None:
    """End the guard when the program ends."""
    program.wait()
    remove(order["remove"])
    os._exit(code(program))


def end(program: "subprocess.Popen[bytes]", number: int) -> None:
    """Ask the program to end. Kill it if it does not."""
    program.send_signal(number)
    try:
        program.wait(END_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def remove(paths: list[str]) -> None:
    """Remove the files and folders that must not outlive the program."""
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 -- pathlib costs time at the start
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink(missing_ok=True)


def code(program: "subprocess.Popen[bytes]") -> int:
    """Return 128 and the signal for a program that was killed."""
    ended = program.returncode
    return ended if ended >= 0 else 128 - ended


if __name__ == "__main__":
    sys.exit(main())

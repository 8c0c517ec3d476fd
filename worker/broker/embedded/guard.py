"""
Runs one program and ends it with whoever started the guard, even one killed outright.

Started as a script of its own, with nothing but the standard library, so that it is up
in some ten milliseconds. The first line of its input is the order, as JSON; the end of
its input is the end of its master, which no kill can hide. It writes the program's
process id to its output.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

PATIENCE = 5.0
"""Seconds for the program to end when it is asked to; then it is killed."""


def main() -> int:
    """Carry out the order; return the program's exit code, as a shell would say it."""
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
    """Start the program; what it writes goes where the guard's own errors go."""
    program = subprocess.Popen(  # noqa: S603 -- the order comes from whoever started us
        order["command"], stdin=subprocess.PIPE, stdout=sys.stderr, **order["options"]
    )
    if program.stdin is not None:
        program.stdin.write(order["input"].encode())
        program.stdin.close()
    return program


def watch(program: "subprocess.Popen[bytes]", order: dict[str, Any]) -> None:
    """End the guard with the program."""
    program.wait()
    remove(order["remove"])
    os._exit(code(program))


def end(program: "subprocess.Popen[bytes]", signal: int) -> None:
    """Ask the program to end, then make it."""
    program.send_signal(signal)
    try:
        program.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def remove(paths: list[str]) -> None:
    """Remove what must not outlive the program."""
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 -- as cheap as it gets
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink(missing_ok=True)


def code(program: "subprocess.Popen[bytes]") -> int:
    """Return 128 and the signal for a program that was killed."""
    ended = program.returncode
    return ended if ended >= 0 else 128 - ended


if __name__ == "__main__":
    sys.exit(main())

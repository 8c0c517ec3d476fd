"""Waiting for something to become true, without sleeping for a guess."""

import inspect
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PAUSE = 0.02


def eventually(
    check: Callable[[], Found], *, within: float = 30.0, saying: Callable[[], str] | str = ""
) -> Found:
    """
    Return what `check` returns once that is true; an AssertionError in it counts as not yet.

    In vain, it fails with the check's source, its last value or its last complaint, and
    what `saying` says.
    """
    until = time.monotonic() + within
    while True:
        complaint: AssertionError | None = None
        found: Found | None = None
        try:
            if found := check():
                return found
        except AssertionError as error:
            complaint = error
        if time.monotonic() > until:
            raise AssertionError(_in_vain(check, within, found, saying)) from complaint
        time.sleep(PAUSE)


def _in_vain(
    check: Callable[[], object], within: float, found: object, saying: Callable[[], str] | str
) -> str:
    try:
        source = inspect.getsource(check).strip()
    except (OSError, TypeError):
        source = repr(check)
    told = saying() if callable(saying) else saying
    lines = [f"not within {within:g} s:", source, f"last value: {found!r}", told]
    return "\n".join(line for line in lines if line)
